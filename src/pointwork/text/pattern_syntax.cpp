#include "pointwork/text/pattern_syntax.h"

#include <cctype>

#include "pointwork/base/check.h"

namespace pointwork {
namespace {

// Unicode's White_Space, without U+180E, which PCRE2's \s holds besides; and all the rest.
constexpr std::string_view kSpaces =
    R"(\x{9}-\x{D}\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
constexpr std::string_view kNoSpaces =
    R"(\x{0}-\x{8}\x{E}-\x{1F}\x{21}-\x{84}\x{86}-\x{9F}\x{A1}-\x{167F}\x{1681}-\x{1FFF})"
    R"(\x{200B}-\x{2027}\x{202A}-\x{202E}\x{2030}-\x{205E}\x{2060}-\x{2FFF}\x{3001}-\x{10FFFF})";
constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";

class Translator {
 public:
  explicit Translator(std::string_view given) : given_(given) {}

  std::string run() {
    while (at_ < given_.size()) {
      const char c = given_[at_];
      if (c == '\\') {
        escape(/*in_set=*/false);
      } else if (c == '[') {
        set();
      } else {
        if (c == '{') quantifier();
        if (c == '(') group();
        out_ += c;
        ++at_;
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    fail("regular expression '", given_, "': ", what, " is not supported (at byte ", at_, ")");
  }
  char peek(size_t ahead) const { return at_ + ahead < given_.size() ? given_[at_ + ahead] : '\0'; }

  // {n,m}+ is possessive to PCRE2 and two quantifiers to Oniguruma; {,m} is a quantifier to
  // Oniguruma alone.
  void quantifier() const {
    size_t end = at_ + 1;
    bool number = false;
    while (end < given_.size() &&
           (std::isdigit(static_cast<unsigned char>(given_[end])) != 0 || given_[end] == ',')) {
      number |= given_[end] != ',';
      ++end;
    }
    if (end >= given_.size() || given_[end] != '}') return;
    if (end > at_ + 1 && given_[at_ + 1] == ',' && number) refuse("{,m}");
    if (end + 1 < given_.size() && given_[end + 1] == '+') refuse("{n,m}+");
  }

  void group() const {
    if (peek(1) == '*') refuse("(*");
    if (peek(1) != '?') return;
    for (const char known : {':', '=', '!', '>', 'i', '#'}) {
      if (peek(2) == known) {
        if (known == 'i' && peek(3) != ':' && peek(3) != ')') refuse("this group");
        return;
      }
    }
    if (peek(2) == '<' && (peek(3) == '=' || peek(3) == '!')) return;
    refuse("this group");
  }

  void set() {
    out_ += '[';
    ++at_;
    if (peek(0) == '^') {
      out_ += '^';
      ++at_;
    }
    for (bool first = true;; first = false) {
      if (at_ >= given_.size()) refuse("a set that does not end");
      const char c = given_[at_];
      if (c == ']' && !first) break;
      if (c == ']') refuse("] as the first of a set");
      if (c == '[') refuse("a set within a set");
      if (c == '&' && peek(1) == '&') refuse("&&");
      if (c == '\\') {
        escape(/*in_set=*/true);
        continue;
      }
      out_ += c;
      ++at_;
    }
    out_ += ']';
    ++at_;
  }

  void add_class(std::string_view members, bool in_set) {
    out_ += in_set ? std::string(members) : concat('[', members, ']');
    at_ += 2;
  }

  void escape(bool in_set) {
    const char c = peek(1);
    switch (c) {
      case 's':
        return add_class(kSpaces, in_set);
      case 'S':
        return add_class(kNoSpaces, in_set);
      case 'w':
        return add_class(kWord, in_set);
      case 'W':
        if (in_set) refuse("\\W in a set");
        return add_class(concat('^', kWord), in_set);
      case 'd':
        return add_class("\\p{Nd}", in_set);
      case 'D':
        return add_class("\\P{Nd}", in_set);
      case 'h':
        return add_class("0-9A-Fa-f", in_set);
      case 'v':
        return add_class("\\x{B}", in_set);
      case 'b':
      case 'B': {
        if (in_set) refuse("\\b in a set");
        const char* inside =
            c == 'b' ? "(?:(?<=$)(?!$)|(?<!$)(?=$))" : "(?:(?<=$)(?=$)|(?<!$)(?!$))";
        for (const char* p = inside; *p != '\0'; ++p)
          out_ += *p == '$' ? concat('[', kWord, ']') : std::string(1, *p);
        at_ += 2;
        return;
      }
      case 'u': {
        const std::string_view code = given_.substr(at_ + 2 > given_.size() ? at_ : at_ + 2, 4);
        if (code.size() != 4 || code.find_first_not_of("0123456789abcdefABCDEF") != code.npos)
          refuse("\\u without four digits");
        out_ += concat("\\x{", code, '}');
        at_ += 6;
        return;
      }
      case 'p':
      case 'P':
        return property();
      case 'A':
      case 'z':
      case 'x':
      case 'n':
      case 'r':
      case 't':
      case 'f':
        if ((c == 'A' || c == 'z') && in_set) refuse("this escape");
        break;
      default:
        if (std::ispunct(static_cast<unsigned char>(c)) == 0 && c != ' ') refuse(concat('\\', c));
    }
    out_ += concat('\\', c);
    at_ += 2;
  }

  // \p{Han} alone would also take in what other scripts share with it.
  void property() {
    const size_t end = given_.find('}', at_);
    if (peek(2) != '{' || end == given_.npos) refuse("\\p without {name}");
    const std::string_view name = given_.substr(at_ + 3, end - at_ - 3);
    const bool negated = name.starts_with('^');
    const std::string_view plain = name.substr(negated ? 1 : 0);
    out_ += concat('\\', given_[at_ + 1], '{', negated ? "^" : "", plain.size() > 2 ? "sc:" : "",
                   plain, '}');
    at_ = end + 1;
  }

  const std::string_view given_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string to_pcre2(std::string_view expression) { return Translator(expression).run(); }

}  // namespace pointwork
