#pragma once
// Errors: one clear message that names the thing, what was expected and what was found.

#include <sstream>
#include <stdexcept>
#include <string>

namespace pointwork {

// Bad input of any kind. Programs print its text as one line and exit with status 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Wrong use of the command line, an unknown --section.key included: exit status 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

// Everything streamable, joined: concat("x has ", 3, " rows").
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw Error(concat(parts...));
}

// Throws Error with the joined parts unless `ok`. The parts are evaluated only as arguments: keep
// them cheap.
template <class... Parts>
void check(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]] {
    fail(parts...);
  }
}

}  // namespace pointwork
