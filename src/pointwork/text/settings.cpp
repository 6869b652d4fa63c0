#include "pointwork/text/settings.h"

#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/text/tokenizer_file.h"

namespace pointwork {

Settings::Settings(const Json& object, std::string name, std::string source)
    : object_(&object), name_(std::move(name)), source_(std::move(source)) {
  if (!object.is_object()) fail(source_, ": ", name_, " must be an object, found ", shown(object));
}

void Settings::throw_error(const std::string& what) const {
  fail(source_, ": ", name_, name_.empty() ? "" : ": ", what);
}

bool Settings::has(const char* key) const {
  const auto found = object_->find(key);
  return found != object_->end() && !found->is_null();
}

const Settings::Json& Settings::at(const char* key) const {
  const auto found = object_->find(key);
  if (found == object_->end()) fail(source_, ": ", name_, " has no ", key);
  return *found;
}

Settings Settings::object(const char* key) const { return Settings(at(key), key, source_); }

std::vector<Settings> Settings::list(const char* key) const {
  const Json& given = at(key);
  if (!given.is_array()) refuse(key, " must be a list, found ", shown(given));
  std::vector<Settings> all;
  for (const Json& one : given) all.emplace_back(one, name_, source_);
  return all;
}

std::string Settings::text(const char* key) const {
  const Json& given = at(key);
  if (!given.is_string()) refuse(key, " must be text, found ", shown(given));
  return given.get<std::string>();
}

std::string Settings::text(const char* key, const std::string& otherwise) const {
  return has(key) ? text(key) : otherwise;
}

bool Settings::flag(const char* key) const {
  const Json& given = at(key);
  if (!given.is_boolean()) refuse(key, " must be true or false, found ", shown(given));
  return given.get<bool>();
}

bool Settings::flag(const char* key, bool otherwise) const {
  return has(key) ? flag(key) : otherwise;
}

size_t Settings::choice(const char* key, std::initializer_list<std::string_view> words) const {
  const auto found = std::find(words.begin(), words.end(), text(key));
  if (found == words.end()) {
    std::string all;
    for (const std::string_view word : words) all += concat(all.empty() ? "" : ", ", word);
    refuse(key, " = ", shown(at(key)), " is not supported, only ", all);
  }
  return static_cast<size_t>(found - words.begin());
}

void Settings::only_keys(std::initializer_list<std::string_view> known) const {
  for (const auto& [key, value] : object_->items()) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      refuse(shown(key), " is not supported, found ", shown(value));
  }
}

void Settings::only_values(const char* key, std::initializer_list<Json> allowed) const {
  const auto found = object_->find(key);
  if (found == object_->end()) return;
  if (std::find(allowed.begin(), allowed.end(), *found) == allowed.end())
    refuse(key, " = ", shown(*found), " is not supported, only ", shown(*allowed.begin()));
}

}  // namespace pointwork
