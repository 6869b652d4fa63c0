#pragma once
// Reads TOML and overrides into a Config along its lists of fields, and gathers all that is wrong.

#include <toml++/toml.h>

#include <cmath>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "pointwork/base/nearest.h"
#include "pointwork/config/config.h"
#include "pointwork/config/visit.h"

namespace pointwork {

// A value, and where it was written.
struct Given {
  const toml::node* node = nullptr;
  const std::string* text = nullptr;  // of an override that gives this very key, as written
  bool is_override = false;           // it stands in an override
  explicit operator bool() const { return node != nullptr; }
};

class ConfigReader {
 public:
  explicit ConfigReader(const std::vector<Override>& overrides)
      : overrides_(overrides), used_(overrides.size()) {}

  void read(const toml::table& root, Config& config);

  std::vector<std::string> problems() const;  // one string each; the file's by line come first
  bool only_unknown_overrides() const;        // the problems are all of that kind

 private:
  struct Problem {
    std::string path, what;  // an unknown key's `what` follows when all keys are known
    bool is_override = false, is_unknown = false;
    uint32_t line = 0;  // of the file; 0: not known
  };

  void problem(const std::string& path, const Given& given, const std::string& what);
  void unknown(const std::string& path, const Given& given);

  // The value at `path`: the last override, else what `section` holds.
  Given look_up(const std::string& path, const Given& section, const char* name);
  const toml::node* literal(const std::string& text);
  const toml::table* table_at(const std::string& path, const Given& given);
  void check_names(const std::string& path, const Given& given, const std::set<std::string>& names);
  bool overridden_inside(const std::string& path) const;
  void pass_over(const std::string& path);  // overrides of a branch that could not be read

  // Visits the fields of every struct, so that the same list that prints a config reads it.
  template <HasFields T>
  void read_fields(const std::string& path, const Given& given, T& value,
                   std::set<std::string> names = {}) {
    const auto visit = [&](const char* name, auto& field, const Field& facts) {
      names.insert(name);
      const std::string inner = path.empty() ? name : path + "." + name;
      const Given one = look_up(inner, given, name);
      if (facts.required && !one) {
        keys_.push_back(inner);
        problem(inner, given, concat(" is missing: ", facts.help));
      } else {
        read_field(inner, one, field, facts);
      }
    };
    T::fields(value, visit);
    check_names(path, given, names);
  }

  template <HasFields T>
  void read_field(const std::string& path, const Given& given, T& value, const Field&) {
    sections_.push_back(path);
    table_at(path, given);
    read_fields(path, given, value);
  }

  template <HasFields T>
  void read_field(const std::string& path, const Given& given, std::optional<T>& value,
                  const Field& facts) {
    sections_.push_back(path);
    if (given || overridden_inside(path)) read_field(path, given, value.emplace(), facts);
  }

  void read_field(const std::string& path, const Given& given, LayersConfig& value, const Field&);
  void read_field(const std::string& path, const Given& given,
                  std::map<std::string, BranchConfig>& value, const Field&);
  void read_branch(const std::string& path, const Given& given, BranchConfig& branch);
  void read_field(const std::string& path, const Given& given, bool& value, const Field&);
  void read_field(const std::string& path, const Given& given, double& value, const Field& facts);
  void read_field(const std::string& path, const Given& given, int64_t& value, const Field& facts);
  void read_field(const std::string& path, const Given& given, std::string& value, const Field&);
  void read_field(const std::string& path, const Given& given, std::vector<std::string>& value,
                  const Field&);
  template <class E>
  requires std::is_enum_v<E>
  void read_field(const std::string& path, const Given& given, E& value, const Field&) {
    keys_.push_back(path);
    if (!given) return;
    const std::string text = text_of(given);
    for (const auto& [name, candidate] : EnumNames<E>::names) {
      if (text == name) {
        value = candidate;
        return;
      }
    }
    not_one_of(path, given, enum_names<E>());
  }

  void read_list(const std::string& path, const Given& given, std::vector<std::string>& value);
  bool in_range(const std::string& path, const Given& given, double number, const Field& facts);
  void not_one_of(const std::string& path, const Given& given,
                  const std::vector<std::string>& names);
  static std::string text_of(const Given& given);

  const std::vector<Override>& overrides_;
  std::vector<bool> used_;
  std::deque<toml::table> owned_;             // literals of overrides
  std::vector<std::string> keys_, sections_;  // all there are, as far as read
  std::vector<Problem> problems_;
};

}  // namespace pointwork
