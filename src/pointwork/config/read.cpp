#include <toml++/toml.h>
#include <cmath>
#include <deque>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

#include "pointwork/base/nearest.h"
#include "pointwork/config/config.h"
#include "pointwork/config/visit.h"

namespace pointwork {
namespace {

std::string shown(const toml::node& node) {
  std::ostringstream out;
  node.visit([&](const auto& one) {
    if constexpr (toml::is_value<decltype(one)> || toml::is_array<decltype(one)>)
      out << one;
    else
      out << "a table";
  });
  std::string text = out.str();
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

// A value and where it was written.
struct Given {
  const toml::node* node = nullptr;
  const std::string* text = nullptr;  // as on the command line
  explicit operator bool() const { return node != nullptr; }
};

// Visits the fields of every struct, so that the same list that prints a config reads it.
class Reader {
 public:
  explicit Reader(const std::vector<Override>& overrides)
      : overrides_(overrides), used_(overrides.size()) {}

  void read(const toml::table& root, Config& config) {
    read_struct("", {&root, nullptr}, config);
    for (size_t i = 0; i < overrides_.size(); ++i) {
      if (used_[i]) continue;
      const std::string& key = overrides_[i].key;
      const bool section = sections_.count(key) > 0;
      unknown_.push_back(section ? concat("--", key, " is a section; give one of its keys, as --",
                                          key, ".KEY=VALUE")
                                 : concat("--", key, ": no such key", did_you_mean_key(key)));
    }
  }

  std::vector<std::string> problems_, unknown_;

 private:
  std::string did_you_mean_key(const std::string& key) const {
    if (std::string close = did_you_mean(key, known_); !close.empty()) return close;
    // The right name in the wrong section.
    const std::string last = key.substr(key.rfind('.') + 1);
    for (const std::string& path : known_) {
      if (path.substr(path.rfind('.') + 1) == last) return concat("; did you mean '", path, "'?");
    }
    return "";
  }

  static std::string join(const std::string& path, const std::string& name) {
    return path.empty() ? name : path + "." + name;
  }

  void problem(const std::string& path, const Given& given, const std::string& what) {
    std::string where;
    if (given.text) {
      where = "--";
    } else if (given && given.node->source().begin.line > 0) {
      where = concat("line ", given.node->source().begin.line, ": ");
    }
    problems_.push_back(concat(where, path, what));
  }

  // The value at `path`: the last override, else the file's.
  Given look_up(const std::string& path, const toml::table* table, const char* name) {
    Given given;
    if (table) given.node = table->get(name);
    for (size_t i = 0; i < overrides_.size(); ++i) {
      if (overrides_[i].key != path) continue;
      used_[i] = true;
      given.text = &overrides_[i].value;
      given.node = literal(overrides_[i].value);
    }
    return given;
  }

  // A TOML literal, or else the text itself.
  const toml::node* literal(const std::string& text) {
    try {
      owned_.push_back(toml::parse("x = " + text));
      if (owned_.back().size() == 1) return owned_.back().get("x");
    } catch (const toml::parse_error&) {
    }
    owned_.push_back(toml::table{{"x", text}});
    return owned_.back().get("x");
  }

  template <HasFields T>
  void read_struct(const std::string& path, const Given& given, T& value) {
    const toml::table* table = table_of(path, given);
    sections_.insert(path);
    std::set<std::string> names;
    const auto visit = [&](const char* name, auto& field, const Field& facts) {
      names.insert(name);
      read_field(join(path, name), look_up(join(path, name), table, name), field, facts);
    };
    T::fields(value, visit);
    check_names(path, given, table, names);
  }

  const toml::table* table_of(const std::string& path, const Given& given) {
    if (!given) return nullptr;
    if (!given.node->is_table())
      problem(path, given, concat(" must be a table, found ", shown(*given.node)));
    return given.node->as_table();
  }

  void check_names(const std::string& path, const Given& given, const toml::table* table,
                   const std::set<std::string>& names) {
    if (!table) return;
    for (const auto& [key, node] : *table) {
      const std::string name(key.str());
      if (names.count(name)) continue;
      std::vector<std::string> all;
      for (const std::string& one : names) all.push_back(join(path, one));
      const Given here{&node, given.text};
      problem(join(path, name), here, concat(": no such key", did_you_mean(join(path, name), all)));
    }
  }

  template <HasFields T>
  void read_field(const std::string& path, const Given& given, T& value, const Field&) {
    read_struct(path, given, value);
  }

  // A list is the repeated part; a table has all three.
  void read_field(const std::string& path, const Given& given, LayersConfig& value, const Field&) {
    if (given && given.node->is_array()) {
      value.first.clear();
      value.last.clear();
      known_.push_back(path);
      read_list(path, given, value.repeat);
      read_struct(path, {}, value);
    } else {
      known_.push_back(path);
      read_struct(path, given, value);
    }
  }

  void read_field(const std::string& path, const Given& given,
                  std::map<std::string, BranchConfig>& value, const Field&) {
    const toml::table* table = table_of(path, given);
    sections_.insert(path);
    if (!table) return;
    for (const auto& [key, node] : *table) {
      const std::string name(key.str());
      read_branch(join(path, name), {&node, given.text}, value[name]);
    }
  }

  void read_branch(const std::string& path, const Given& given, BranchConfig& branch) {
    const toml::table* table = table_of(path, given);
    sections_.insert(path);
    if (!table) return;
    known_.push_back(path + ".kind");
    const Given kind = look_up(path + ".kind", table, "kind");
    std::vector<std::string> kinds(std::begin(BranchConfig::kinds), std::end(BranchConfig::kinds));
    if (!kind) return problem(path, given, concat(".kind is missing: one of ", joined(kinds)));
    std::string text = kind.text ? *kind.text : "";
    if (const auto* string = kind.node->as_string()) text = string->get();
    size_t index = 0;
    while (index < kinds.size() && kinds[index] != text) ++index;
    if (index == kinds.size()) {
      return problem(path + ".kind", kind,
                     concat(" must be one of ", joined(kinds), ", found ", shown(*kind.node),
                            did_you_mean(text, kinds)));
    }
    emplace(branch.form, index);
    std::visit(
        [&](auto& form) {
          std::set<std::string> names{"kind"};
          const auto visit = [&](const char* name, auto& field, const Field& facts) {
            names.insert(name);
            read_field(join(path, name), look_up(join(path, name), table, name), field, facts);
          };
          std::decay_t<decltype(form)>::fields(form, visit);
          check_names(path, given, table, names);
        },
        branch.form);
  }

  template <size_t I = 0, class Variant>
  static void emplace(Variant& variant, size_t index) {
    if constexpr (I < std::variant_size_v<Variant>) {
      if (index == I)
        variant.template emplace<I>();
      else
        emplace<I + 1>(variant, index);
    }
  }

  void read_field(const std::string& path, const Given& given, bool& value, const Field&) {
    known_.push_back(path);
    if (!given) return;
    if (const auto* node = given.node->as_boolean())
      value = node->get();
    else
      problem(path, given, concat(" must be true or false, found ", shown(*given.node)));
  }

  void read_field(const std::string& path, const Given& given, double& value, const Field& facts) {
    known_.push_back(path);
    if (!given) return;
    const auto number = given.node->value<double>();
    if (!given.node->is_number() || !number || !std::isfinite(*number)) {
      return problem(path, given, concat(" must be a number, found ", shown(*given.node)));
    }
    if (in_range(path, given, *number, facts)) value = *number;
  }

  // 2e4 is a whole number too.
  void read_field(const std::string& path, const Given& given, int64_t& value, const Field& facts) {
    known_.push_back(path);
    if (!given) return;
    const auto number = given.node->value<double>();
    const bool whole = given.node->is_number() && number && std::abs(*number) < 9e18 &&
                       std::floor(*number) == *number;
    if (!whole)
      return problem(path, given, concat(" must be a whole number, found ", shown(*given.node)));
    if (!in_range(path, given, *number, facts)) return;
    value =
        given.node->is_integer() ? given.node->as_integer()->get() : static_cast<int64_t>(*number);
  }

  bool in_range(const std::string& path, const Given& given, double number, const Field& facts) {
    const bool low = facts.above_min ? number <= facts.min : number < facts.min;
    const bool high = facts.below_max ? number >= facts.max : number > facts.max;
    if (low || high)
      problem(path, given, concat(" must be ", range_text(facts), ", found ", shown(*given.node)));
    return !low && !high;
  }

  void read_field(const std::string& path, const Given& given, std::string& value, const Field&) {
    known_.push_back(path);
    if (!given) return;
    if (const auto* node = given.node->as_string())
      value = node->get();
    else if (given.text)
      value = *given.text;
    else
      problem(path, given, concat(" must be text, found ", shown(*given.node)));
  }

  template <class E>
  requires std::is_enum_v<E>
  void read_field(const std::string& path, const Given& given, E& value, const Field&) {
    known_.push_back(path);
    if (!given) return;
    const auto* node = given.node->as_string();
    const std::string text = node ? node->get() : given.text ? *given.text : "";
    for (const auto& [name, candidate] : EnumNames<E>::names) {
      if (text == name) {
        value = candidate;
        return;
      }
    }
    problem(path, given,
            concat(" must be one of ", joined(enum_names<E>()), ", found ", shown(*given.node),
                   did_you_mean(text, enum_names<E>())));
  }

  void read_field(const std::string& path, const Given& given, std::vector<std::string>& value,
                  const Field&) {
    known_.push_back(path);
    if (given) read_list(path, given, value);
  }

  void read_list(const std::string& path, const Given& given, std::vector<std::string>& value) {
    const toml::array* list = given.node->as_array();
    std::vector<std::string> names;
    bool good = list != nullptr;
    if (good) {
      for (const toml::node& item : *list) {
        if (const auto* text = item.as_string())
          names.push_back(text->get());
        else
          good = false;
      }
    }
    if (good)
      value = std::move(names);
    else
      problem(path, given,
              concat(" must be a list of names, as [\"a\", \"b\"], found ", shown(*given.node)));
  }

  const std::vector<Override>& overrides_;
  std::vector<bool> used_;
  std::deque<toml::table> owned_;
  std::vector<std::string> known_;
  std::set<std::string> sections_;
};

// A budget named on the command line replaces the file's.
void replace_budget(const std::vector<Override>& overrides, Config& config) {
  const auto given = [&](const char* key) {
    for (const Override& one : overrides) {
      if (one.key == key) return true;
    }
    return false;
  };
  const bool steps = given("train.steps"), tokens = given("train.tokens"),
             flops = given("train.flops");
  if (!steps && !tokens && !flops) return;
  if (!steps) config.train.steps = 0;
  if (!tokens) config.train.tokens = 0;
  if (!flops) config.train.flops = 0;
}

std::string one_line(const std::string& source_name, const std::vector<std::string>& all) {
  std::string text = source_name + ": ";
  if (all.size() > 1) text += concat(all.size(), " problems: ");
  for (size_t i = 0; i < all.size(); ++i) text += (i ? "; " : "") + all[i];
  return text;
}

}  // namespace

ConfigError::ConfigError(const std::string& source_name, std::vector<std::string> all)
    : Error(one_line(source_name, all)), problems(std::move(all)) {}

Config parse_config(const std::string& text, const std::string& source_name,
                    const std::vector<Override>& overrides) {
  toml::table root;
  try {
    root = toml::parse(text, source_name);
  } catch (const toml::parse_error& error) {
    throw ConfigError(source_name, {concat("line ", error.source().begin.line,
                                           ": not TOML: ", error.description())});
  }
  Config config;
  Reader reader(overrides);
  reader.read(root, config);
  if (reader.problems_.empty() && !reader.unknown_.empty()) {
    throw UsageError(one_line(source_name, reader.unknown_));
  }
  std::vector<std::string> all = std::move(reader.problems_);
  all.insert(all.end(), reader.unknown_.begin(), reader.unknown_.end());
  replace_budget(overrides, config);
  // Branches that could not be read would only be reported twice.
  if (all.empty()) all = problems(config);
  if (!all.empty()) throw ConfigError(source_name, std::move(all));
  return config;
}

Config load_config(const std::filesystem::path& path, const std::vector<Override>& overrides) {
  std::error_code error;
  check(std::filesystem::exists(path, error), path.string(), ": no such config file");
  check(std::filesystem::is_regular_file(path, error), path.string(),
        " must be a config file (TOML) but is a folder or a device");
  std::ifstream in(path, std::ios::binary);
  check(in.good(), path.string(), ": cannot be read");
  std::ostringstream text;
  text << in.rdbuf();
  check(text.str().size() <= (size_t{1} << 20), path.string(),
        " must be a config file (TOML) but has ", text.str().size(), " bytes");
  return parse_config(text.str(), path.string(), overrides);
}

}  // namespace pointwork
