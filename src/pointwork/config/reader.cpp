#include "pointwork/config/reader.h"

#include <algorithm>
#include <sstream>

#include "pointwork/base/printable.h"
#include "pointwork/config/hint.h"
#include "pointwork/config/walk.h"

namespace pointwork {
namespace {

// Nobody reads more hints, and each takes a search.
constexpr size_t kMostHints = 100;

std::string shown(const toml::node& node) {
  std::ostringstream out;
  node.visit([&](const auto& one) {
    if constexpr (toml::is_floating_point<decltype(one)>)
      out << number_text(one.get());
    else if constexpr (toml::is_value<decltype(one)> || toml::is_array<decltype(one)>)
      out << one;
    else
      out << "a table";
  });
  return printable(out.str(), 60);
}

// As TOML would have it in a path.
std::string bare(std::string_view name) {
  const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '-';
  });
  return plain ? std::string(name) : quoted(std::string(name));
}

}  // namespace

void ConfigReader::read(const toml::table& root, Config& config) {
  read_fields("", {&root}, config);
  for (size_t i = 0; i < overrides_.size(); ++i) {
    const std::string& key = overrides_[i].key;
    if (used_[i]) continue;
    const Given given{&root, &overrides_[i].value, true};
    if (std::find(sections_.begin(), sections_.end(), key) != sections_.end())
      problem(key, given, concat(" is a section; give one of its keys, as --", key, ".KEY=VALUE"));
    else
      unknown(key, given);
  }
  std::stable_sort(problems_.begin(), problems_.end(), [](const Problem& a, const Problem& b) {
    return std::pair(a.is_override, a.line) < std::pair(b.is_override, b.line);
  });
  size_t hints = 0;
  for (Problem& one : problems_) {
    if (one.is_unknown)
      one.what =
          ": no such key" + (hints++ < kMostHints ? key_hint(one.path, keys_, sections_) : "");
  }
}

std::vector<std::string> ConfigReader::problems() const {
  std::vector<std::string> all;
  for (const Problem& one : problems_) {
    const std::string where = one.is_override ? "--"
                              : one.line > 0  ? concat("line ", one.line, ": ")
                                              : "";
    all.push_back(concat(where, printable(one.path, 200), one.what));
  }
  return all;
}

bool ConfigReader::only_unknown_overrides() const {
  return !problems_.empty() && std::all_of(problems_.begin(), problems_.end(), [](const auto& one) {
    return one.is_unknown && one.is_override;
  });
}

void ConfigReader::problem(const std::string& path, const Given& given, const std::string& what) {
  const uint32_t line = given && !given.is_override ? given.node->source().begin.line : 0;
  problems_.push_back({path, what, given.is_override, false, line});
}

void ConfigReader::unknown(const std::string& path, const Given& given) {
  problem(path, given, "");
  problems_.back().is_unknown = true;
}

Given ConfigReader::look_up(const std::string& path, const Given& section, const char* name) {
  Given given{.is_override = section.is_override};
  const toml::table* table = section ? section.node->as_table() : nullptr;
  if (table) given.node = table->get(name);
  for (size_t i = 0; i < overrides_.size(); ++i) {
    if (overrides_[i].key != path) continue;
    used_[i] = true;
    given = {literal(overrides_[i].value), &overrides_[i].value, true};
  }
  return given;
}

// A TOML literal, or else the text itself.
const toml::node* ConfigReader::literal(const std::string& text) {
  try {
    owned_.push_back(toml::parse("x = " + text));
    if (owned_.back().size() == 1) return owned_.back().get("x");
  } catch (const toml::parse_error&) {
  }
  owned_.push_back(toml::table{{"x", text}});
  return owned_.back().get("x");
}

const toml::table* ConfigReader::table_at(const std::string& path, const Given& given) {
  if (!given) return nullptr;
  if (!given.node->is_table())
    problem(path, given, concat(" must be a table, found ", shown(*given.node)));
  return given.node->as_table();
}

void ConfigReader::check_names(const std::string& path, const Given& given,
                               const std::set<std::string>& names) {
  const toml::table* table = given ? given.node->as_table() : nullptr;
  if (!table) return;
  for (const auto& [key, node] : *table) {
    const std::string name(key.str());
    if (names.count(name)) continue;
    const std::string shown = bare(name);
    unknown(path.empty() ? shown : path + "." + shown, {&node, nullptr, given.is_override});
  }
}

bool ConfigReader::overridden_inside(const std::string& path) const {
  return std::any_of(overrides_.begin(), overrides_.end(),
                     [&](const Override& one) { return one.key.rfind(path + ".", 0) == 0; });
}

void ConfigReader::pass_over(const std::string& path) {
  for (size_t i = 0; i < overrides_.size(); ++i) {
    if (overrides_[i].key.rfind(path + ".", 0) == 0) used_[i] = true;
  }
}

// A list is the repeated part; a table has all three.
void ConfigReader::read_field(const std::string& path, const Given& given, LayersConfig& value,
                              const Field&) {
  keys_.push_back(path);
  sections_.push_back(path);
  if (given && given.node->is_array()) {
    read_list(path, given, value.repeat);
  } else if (given && !given.node->is_table()) {
    problem(path, given,
            concat(" must be a list of names, or a table of first, repeat and last, found ",
                   shown(*given.node)));
  }
  read_fields(path, given, value);
}

void ConfigReader::read_field(const std::string& path, const Given& given,
                              std::map<std::string, BranchConfig>& value, const Field&) {
  sections_.push_back(path);
  const toml::table* table = table_at(path, given);
  if (!table) return;
  for (const auto& [key, node] : *table) {
    read_branch(path + "." + bare(key.str()), {&node, nullptr, given.is_override},
                value[std::string(key.str())]);
  }
}

void ConfigReader::read_branch(const std::string& path, const Given& given, BranchConfig& branch) {
  sections_.push_back(path);
  if (!table_at(path, given)) return pass_over(path);
  keys_.push_back(path + ".kind");
  const std::vector<std::string> kinds = branch_kinds();
  const Given kind = look_up(path + ".kind", given, "kind");
  const auto found = std::find(kinds.begin(), kinds.end(), kind ? text_of(kind) : "");
  if (found == kinds.end()) {
    pass_over(path);
    if (kind) return not_one_of(path + ".kind", kind, kinds);
    return problem(path + ".kind", given, concat(" is missing: one of ", joined(kinds)));
  }
  const auto index = found - kinds.begin();
  [&]<size_t... I>(std::index_sequence<I...>) {
    ((index == static_cast<std::ptrdiff_t>(I) ? void(branch.form.emplace<I>()) : void()), ...);
  }
  (std::make_index_sequence<std::variant_size_v<decltype(branch.form)>>());
  std::visit([&](auto& form) { read_fields(path, given, form, {"kind"}); }, branch.form);
}

void ConfigReader::read_field(const std::string& path, const Given& given, bool& value,
                              const Field&) {
  keys_.push_back(path);
  if (!given) return;
  if (const auto* node = given.node->as_boolean())
    value = node->get();
  else
    problem(path, given, concat(" must be true or false, found ", shown(*given.node)));
}

void ConfigReader::read_field(const std::string& path, const Given& given, double& value,
                              const Field& facts) {
  keys_.push_back(path);
  if (!given) return;
  const auto* whole = given.node->as_integer();
  const auto* real = given.node->as_floating_point();
  if (!whole && !real)
    return problem(path, given, concat(" must be a number, found ", shown(*given.node)));
  const double number = whole ? static_cast<double>(whole->get()) : real->get();
  if (!std::isfinite(number))
    return problem(path, given, concat(" must be a finite number, found ", shown(*given.node)));
  if (in_range(path, given, number, facts)) value = number;
}

// 2e4 is a whole number too.
void ConfigReader::read_field(const std::string& path, const Given& given, int64_t& value,
                              const Field& facts) {
  keys_.push_back(path);
  if (!given) return;
  const auto* whole = given.node->as_integer();
  const auto* real = given.node->as_floating_point();
  const double number = whole  ? static_cast<double>(whole->get())
                        : real ? real->get()
                               : std::nan("");
  if (!whole && !(std::floor(number) == number && std::isfinite(number)))
    return problem(path, given, concat(" must be a whole number, found ", shown(*given.node)));
  if (!in_range(path, given, number, facts)) return;
  if (!whole && std::abs(number) >= 0x1p63)
    return problem(path, given,
                   concat(" must be at most ", INT64_MAX, ", found ", shown(*given.node)));
  value = whole ? whole->get() : static_cast<int64_t>(number);
}

bool ConfigReader::in_range(const std::string& path, const Given& given, double number,
                            const Field& facts) {
  const bool low = facts.above_min ? number <= facts.min : number < facts.min;
  const bool high = facts.below_max ? number >= facts.max : number > facts.max;
  if (low || high)
    problem(path, given, concat(" must be ", range_text(facts), ", found ", shown(*given.node)));
  return !low && !high;
}

void ConfigReader::read_field(const std::string& path, const Given& given, std::string& value,
                              const Field&) {
  keys_.push_back(path);
  if (!given) return;
  if (given.node->is_string() || given.text)
    value = text_of(given);
  else
    problem(path, given, concat(" must be text, found ", shown(*given.node)));
}

// A string, or an override's text: people leave its quotes to the shell.
std::string ConfigReader::text_of(const Given& given) {
  const auto* node = given.node->as_string();
  return node ? node->get() : given.text ? *given.text : "";
}

void ConfigReader::not_one_of(const std::string& path, const Given& given,
                              const std::vector<std::string>& names) {
  problem(path, given,
          concat(" must be one of ", joined(names), ", found ", shown(*given.node),
                 did_you_mean(text_of(given), names)));
}

void ConfigReader::read_field(const std::string& path, const Given& given,
                              std::vector<std::string>& value, const Field&) {
  keys_.push_back(path);
  if (given) read_list(path, given, value);
}

void ConfigReader::read_list(const std::string& path, const Given& given,
                             std::vector<std::string>& value) {
  std::vector<std::string> names;
  const toml::array* list = given.node->as_array();
  bool good = list != nullptr;
  for (size_t i = 0; good && i < list->size(); ++i) {
    const auto* text = list->get(i)->as_string();
    good = text != nullptr;
    if (good) names.push_back(text->get());
  }
  if (good)
    value = std::move(names);
  else
    problem(path, given,
            concat(" must be a list of names, as [\"a\", \"b\"], found ", shown(*given.node)));
}

}  // namespace pointwork
