#include <toml++/toml.h>

#include <fstream>
#include <sstream>

#include "pointwork/base/printable.h"
#include "pointwork/config/config.h"
#include "pointwork/config/reader.h"

namespace pointwork {
namespace {

constexpr uintmax_t kLongestFile = 1 << 20;

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
                                           ": not TOML: ", printable(error.description(), 200))});
  }
  Config config;
  ConfigReader reader(overrides);
  reader.read(root, config);
  std::vector<std::string> all = reader.problems();
  if (reader.only_unknown_overrides()) throw UsageError(one_line(source_name, all));
  replace_budget(overrides, config);
  // What could not be read would only be reported twice.
  if (all.empty()) all = problems(config);
  if (!all.empty()) throw ConfigError(source_name, std::move(all));
  return config;
}

Config load_config(const std::filesystem::path& path, const std::vector<Override>& overrides) {
  std::error_code error;
  check(std::filesystem::exists(path, error), path.string(), ": no such config file");
  check(std::filesystem::is_regular_file(path, error), path.string(),
        " must be a config file (TOML) but is a folder or a device");
  const uintmax_t size = std::filesystem::file_size(path, error);
  check(!error && size <= kLongestFile, path.string(), " must be a config file (TOML) but has ",
        size, " bytes, more than ", kLongestFile);
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  check(in.good(), path.string(), ": cannot be read");
  return parse_config(text.str(), path.string(), overrides);
}

}  // namespace pointwork
