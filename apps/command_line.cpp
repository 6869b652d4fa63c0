#include "apps/command_line.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "pointwork/base/check.h"
#include "pointwork/base/nearest.h"
#include "pointwork/base/printable.h"

namespace pointwork::app {
namespace {

using Names = std::vector<std::string>;

// "a, b or c"
std::string any_of(const Names& names) {
  std::string all;
  for (size_t i = 0; i < names.size(); ++i)
    all += (i == 0 ? "" : i + 1 < names.size() ? ", " : " or ") + names[i];
  return all;
}

template <class Number>
bool read(const std::string& text, Number& value) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end;
}

// CLI11 puts the option's name before it.
CLI::Validator validator(const std::function<std::string(const std::string&)>& problem) {
  return {[problem](std::string& value) { return problem(value); }, "", ""};
}

std::string found(const std::string& value) { return concat(", found '", printable(value), "'"); }

Names verbs_of(const CLI::App& app) {
  Names names;
  for (const CLI::App* verb : app.get_subcommands({})) names.push_back(verb->get_name());
  return names;
}

// What no option took, of the program, its verb and that one's own.
Names left_by(const CLI::App& command) {
  Names left = command.get_parent() ? left_by(*command.get_parent()) : Names();
  for (const std::string& one : command.remaining()) left.push_back(one);
  return left;
}

Names flags_of(const CLI::App& command) {
  Names names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

bool is_flag(const std::string& argument) {
  return argument.size() > 1 && argument.front() == '-' && argument != "--";
}

std::string name_of(const std::string& flag) { return flag.substr(0, flag.find('=')); }

bool is_key(const std::string& flag) {
  return flag.rfind("--", 0) == 0 && name_of(flag).find('.') != std::string::npos;
}

std::string unknown_flag(const CLI::App& command, const std::string& flag) {
  return concat("no such flag ", printable(name_of(flag)),
                did_you_mean(name_of(flag), flags_of(command)));
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

// "--data DIR", "CONFIG"
std::string shown(const CLI::Option& option) {
  if (option.get_positional()) return option.get_name();
  return option.get_name() + (takes_value(option) ? " " + option.get_type_name() : "");
}

std::string about_option(const CLI::Option& option) {
  const size_t times = option.results().size();
  if (!takes_value(option))
    return concat(option.get_name(), " takes no value",
                  times ? found(option.results().front()) : "");
  if (times > 1) return concat(option.get_name(), " is given ", times, " times, expected once");
  return concat(option.get_name(), " needs a value: ", option.get_description());
}

}  // namespace

CLI::Validator one_of(const Names& names) {
  return validator([names](const std::string& value) -> std::string {
    if (std::find(names.begin(), names.end(), value) != names.end()) return "";
    return concat("must be ", any_of(names), found(value), did_you_mean(value, names));
  });
}

CLI::Validator whole_number(int64_t least, int64_t most) {
  return validator([=](const std::string& text) -> std::string {
    int64_t value = 0;
    if (read(text, value) && value >= least && value <= most) return "";
    return concat(
        "must be a whole number ",
        most == INT64_MAX ? concat("of at least ", least) : concat("of ", least, " to ", most),
        found(text));
  });
}

CLI::Validator number(const std::string& expected, const std::function<bool(double)>& good) {
  return validator([=](const std::string& text) -> std::string {
    double value = 0;
    if (read(text, value) && std::isfinite(value) && good(value)) return "";
    return concat("must be a number ", expected, found(text));
  });
}

Names arguments_of(int argc, char** argv) {
  Names arguments(argv + std::min(argc, 1), argv + argc);
  if (!arguments.empty() && arguments[0] == "help") {
    arguments.erase(arguments.begin());
    arguments.push_back("--help");
  }
  // CLI11 takes the next argument for the value of "--name=".
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& one = arguments[i];
    if (one.size() < 4 || one.rfind("--", 0) != 0 || one.find('=') != one.size() - 1 || is_key(one))
      continue;
    arguments[i].pop_back();
    arguments.insert(arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1, "");
  }
  std::reverse(arguments.begin(), arguments.end());
  return arguments;
}

void check_verb(const CLI::App& program, const Names& arguments) {
  const Names verbs = verbs_of(program);
  if (arguments.empty())
    throw UsageError(
        concat("a verb is missing, expected ", any_of(verbs), " (`pointwork --help` says more)"));
  const std::string& first = arguments.back();
  if (first == "--help" || first == "-h" || first == "--version") return;
  if (is_flag(first)) {
    for (const std::string& one : arguments) {
      if (std::find(verbs.begin(), verbs.end(), one) != verbs.end())
        throw UsageError(concat("flags follow the verb, found ", printable(first),
                                " before it; write `pointwork ", one, " ", printable(first), "`"));
    }
    throw UsageError(unknown_flag(program, first) + " (`pointwork VERB --help` lists a verb's)");
  }
  if (std::find(verbs.begin(), verbs.end(), first) == verbs.end()) {
    const std::string hint = did_you_mean(first, verbs);
    throw UsageError(concat("no such verb '", printable(first), "'",
                            hint.empty() ? ", expected " + any_of(verbs) : hint));
  }
}

const CLI::App& innermost(const CLI::App& app) {
  const auto parsed = app.get_subcommands();
  return parsed.empty() ? app : innermost(*parsed.front());
}

std::string usage_problem(const CLI::App& command, const CLI::ParseError& error,
                          bool configurable) {
  const Names left = left_by(command);
  for (const std::string& one : left) {
    if (is_flag(one) && !(configurable && is_key(one))) {
      try {
        overrides_of(command, configurable);
      } catch (const UsageError& problem) {
        return problem.what();
      }
    }
  }
  const Names verbs = verbs_of(command);
  if (!verbs.empty()) {
    const auto wrong = std::find_if_not(left.begin(), left.end(), is_flag);
    if (wrong == left.end())
      return concat("what to do is missing, expected ", any_of(verbs), " (`pointwork ",
                    command.get_name(), " --help` says more)");
    return concat("no such verb '", command.get_name(), " ", printable(*wrong), "', expected ",
                  any_of(verbs), did_you_mean(*wrong, verbs));
  }
  const std::string what = error.what();
  // A validator's problem is whole with the option's name before it.
  if (dynamic_cast<const CLI::ValidationError*>(&error)) {
    const size_t colon = what.find(": ");
    return colon == std::string::npos ? what : what.substr(0, colon) + what.substr(colon + 1);
  }
  if (dynamic_cast<const CLI::RequiredError*>(&error)) {
    for (const CLI::Option* option : command.get_options()) {
      if (option->get_required() && option->count() == 0)
        return concat(shown(*option), " is missing: ", option->get_description());
    }
  }
  for (const CLI::Option* option : command.get_options()) {
    const std::string name = option->get_name();
    for (const CLI::Option* other : option->get_excludes()) {
      if (option->count() > 0 && other->count() > 0)
        return concat(name, " and ", other->get_name(), " cannot both be given");
    }
  }
  for (const CLI::Option* option : command.get_options()) {
    const std::string name = option->get_name();
    const bool named = what.rfind(name + ":", 0) == 0 || what.find(": " + name + " ") < what.size();
    if (named) return about_option(*option);
  }
  return what;
}

std::vector<Override> overrides_of(const CLI::App& command, bool configurable) {
  std::vector<Override> overrides;
  for (const std::string& extra : left_by(command)) {
    if (extra == "--") continue;  // what follows is no flag, and was taken so
    if (!is_flag(extra)) throw UsageError(concat("unexpected argument '", printable(extra), "'"));
    if (!is_key(extra)) throw UsageError(unknown_flag(command, extra));
    const std::string name = name_of(extra);
    if (!configurable)
      throw UsageError(concat(printable(name),
                              ": this verb reads no configuration, so it has no such key",
                              did_you_mean(name, flags_of(command))));
    if (name.size() == extra.size())
      throw UsageError(concat(printable(name), " needs its value as ", printable(name), "=VALUE"));
    overrides.push_back({name.substr(2), extra.substr(name.size() + 1)});
  }
  return overrides;
}

}  // namespace pointwork::app
