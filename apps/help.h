#pragma once
// What --help prints.

#include <CLI/CLI.hpp>
#include <string>

namespace pointwork::app {

// One sentence, the usage, arguments with their defaults, footer; as wide as the terminal, at most
// 100 columns.
class Help : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;
};

}  // namespace pointwork::app
