#pragma once
// How the command line is read: values are checked as they are taken, mistakes are said in one line
// that names what was expected and what was found.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "pointwork/config/config.h"

namespace pointwork::app {

// What an option's value must be; else "--threads must be a whole number of 0 to 4096, found 'x'".
CLI::Validator one_of(const std::vector<std::string>& names);
CLI::Validator whole_number(int64_t least, int64_t most = INT64_MAX);
CLI::Validator number(const std::string& expected, const std::function<bool(double)>& good);

// argv without the program, last first, as CLI11 takes it: "--name=" is an empty value, `help VERB`
// is `VERB --help`.
std::vector<std::string> arguments_of(int argc, char** argv);

// UsageError where what comes before the verb, or the verb itself, is wrong.
void check_verb(const CLI::App& program, const std::vector<std::string>& arguments);

// What is wrong with the use of `command`, which CLI11 refused. A flag that does not exist comes
// first: what it was meant for is then missing too.
std::string usage_problem(const CLI::App& command, const CLI::ParseError& error, bool configurable);

// --section.key=value, left by the options; UsageError for anything else that they left.
std::vector<Override> overrides_of(const CLI::App& command, bool configurable);

// The innermost verb that was named.
const CLI::App& innermost(const CLI::App& app);

}  // namespace pointwork::app
