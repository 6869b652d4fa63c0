#include "apps/help.h"

#include <algorithm>
#include <sstream>

#include "pointwork/log/terminal.h"

namespace pointwork::app {
namespace {

using Names = std::vector<std::string>;

// Words of `text` in lines of at most `width` columns, those after the first indented.
std::string wrapped(const std::string& text, int width, int indent) {
  std::istringstream words(text);
  std::string out, word;
  int column = 0;
  while (words >> word) {
    const int needs = display_width(word);
    if (column > 0 && column + 1 + needs > width - indent) {
      out += "\n" + std::string(static_cast<size_t>(indent), ' ');
      column = 0;
    } else if (column > 0) {
      out += ' ';
      ++column;
    }
    out += word;
    column += needs;
  }
  return out;
}

std::string sentence(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text.empty() || text.back() == '.' ? text : text + ".";
}

// "CONFIG", "INPUT...", "--data DIR", "-h, --help"
std::string left_of(const CLI::Option& option) {
  if (option.get_positional())
    return option.get_name() +
           (option.get_expected_max() >= CLI::detail::expected_max_vector_size ? "..." : "");
  std::string text;
  for (const std::string& name : option.get_snames()) text += "-" + name + ", ";
  text += "--" + option.get_lnames().front();
  if (option.get_items_expected_max() > 0) text += " " + option.get_type_name();
  return text;
}

std::string right_of(const CLI::Option& option) {
  std::string text = option.get_description();
  if (option.get_required() && !option.get_positional()) text += " (required)";
  if (!option.get_default_str().empty()) text += " (default " + option.get_default_str() + ")";
  return text;
}

std::string row(const std::string& left, const std::string& right, int column, int width) {
  const int used = 2 + display_width(left);
  std::string out = "  " + left;
  if (used + 2 > column) {
    out += "\n" + std::string(static_cast<size_t>(column), ' ');
  } else {
    out += std::string(static_cast<size_t>(column - used), ' ');
  }
  return out + wrapped(right, width, column) + "\n";
}

// Lines that begin with spaces are commands and stand as they are.
std::string footer(const std::string& text, int width) {
  std::istringstream lines(text);
  std::string out, line;
  while (std::getline(lines, line))
    out += (line.rfind("  ", 0) == 0 ? line : wrapped(line, width, 0)) + "\n";
  return out;
}

}  // namespace

std::string Help::make_help(const CLI::App* app, std::string name, CLI::AppFormatMode) const {
  const int width = std::clamp(terminal_width(stdout), 60, 100), column = 30;
  const auto verbs = app->get_subcommands({});
  std::ostringstream out;
  out << wrapped(sentence(app->get_description()), width, 0) << "\n\nUsage: " << name;
  if (!verbs.empty()) out << (app->get_parent() ? " WHAT" : " VERB");
  const auto arguments = app->get_options([](const CLI::Option* o) { return o->get_positional(); });
  for (const CLI::Option* one : arguments)
    out << (one->get_required() ? " " + left_of(*one) : " [" + left_of(*one) + "]");
  const auto required = app->get_options(
      [](const CLI::Option* o) { return o->nonpositional() && o->get_required(); });
  for (const CLI::Option* one : required) out << " " << left_of(*one);
  out << " [options]\n";

  if (!verbs.empty()) out << (app->get_parent() ? "\nWHAT\n" : "\nVERB\n");
  for (const CLI::App* verb : verbs)
    out << row(verb->get_name(), verb->get_description(), 14, width);
  if (!arguments.empty()) out << "\nArguments\n";
  for (const CLI::Option* one : arguments) out << row(left_of(*one), right_of(*one), column, width);
  for (const std::string& group : app->get_groups()) {
    const auto options = app->get_options(
        [&](const CLI::Option* o) { return o->nonpositional() && o->get_group() == group; });
    if (group.empty() || options.empty()) continue;
    out << "\n" << group << "\n";
    for (const CLI::Option* one : options) out << row(left_of(*one), right_of(*one), column, width);
  }
  out << "\n" << footer(app->get_footer(), width);
  return out.str();
}

}  // namespace pointwork::app
