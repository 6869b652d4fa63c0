#pragma once
// Regular expressions of tokenizer.json, which are Oniguruma's, in PCRE2's syntax.

#include <string>
#include <string_view>

namespace pointwork {

// The same language with UTF, UCP and MULTILINE set. What the two read differently is spelt out
// (\s, \S, \w, \h, \b, \v, \uHHHH) or, like nested sets, POSIX brackets and {n,m}+, refused by
// name.
std::string to_pcre2(std::string_view expression);

}  // namespace pointwork
