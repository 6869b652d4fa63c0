#include <set>

#include "pointwork/base/printable.h"
#include "pointwork/config/config.h"
#include "pointwork/config/hint.h"
#include "pointwork/config/walk.h"

namespace pointwork {
namespace {

bool is_in(const std::string& path, const std::string& section) {
  return section.empty() || path.rfind(section + ".", 0) == 0;
}

std::string told(const KeyFacts& key) {
  std::string text = key.path + " = " + key.value + "\n    " + key.help + "\n    " + key.type;
  if (!key.unit.empty()) text += ", in " + key.unit;
  if (!key.range.empty()) text += ", " + key.range;
  return text + (key.required ? "; required" : "; default " + key.default_value) + "\n";
}

}  // namespace

std::string explain(const Config& config, const std::string& key) {
  Walk walk;
  walk.walk("", config);
  std::string text;
  std::set<std::string> headed;
  for (const KeyFacts& facts : all_keys(config)) {
    if (facts.path != key && !is_in(facts.path, key)) continue;
    for (const SectionFacts& section : walk.sections) {
      const bool asked = section.path == key || is_in(section.path, key);
      if (facts.path == key || !asked || !is_in(facts.path, section.path)) continue;
      if (headed.insert(section.path).second)
        text += (text.empty() ? "[" : "\n[") + section.path + "]: " + section.help + "\n\n";
    }
    text += told(facts);
  }
  if (!text.empty()) return text;
  std::vector<std::string> keys, sections;
  for (const KeyFacts& facts : walk.keys) keys.push_back(facts.path);
  for (const SectionFacts& section : walk.sections) sections.push_back(section.path);
  fail(printable(key), ": no such key", key_hint(key, keys, sections));
}

}  // namespace pointwork
