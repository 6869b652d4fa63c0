#pragma once
// One object of a tokenizer.json, read with complaints that name file, object and key.

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pointwork {

class Settings {
 public:
  using Json = nlohmann::json;

  // `name` is what messages call the object; "" for the whole file. Error unless it is an object.
  Settings(const Json& object, std::string name, std::string source);

  bool has(const char* key) const;                    // and it is not null
  const Json& at(const char* key) const;              // Error where it is missing
  Settings object(const char* key) const;             // Error where it is missing or none
  std::vector<Settings> list(const char* key) const;  // of objects
  std::string text(const char* key) const;
  std::string text(const char* key, const std::string& otherwise) const;
  bool flag(const char* key) const;
  bool flag(const char* key, bool otherwise) const;
  std::string type() const { return text("type"); }
  // One of these words.
  size_t choice(const char* key, std::initializer_list<std::string_view> words) const;

  // Error on any other key, and on a value that is none of those; missing keys pass.
  void only_keys(std::initializer_list<std::string_view> known) const;
  void only_values(const char* key, std::initializer_list<Json> allowed) const;

  // "SOURCE: NAME: ..."
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    std::ostringstream out;
    (out << ... << parts);
    throw_error(out.str());
  }

  const std::string& name() const { return name_; }

 private:
  [[noreturn]] void throw_error(const std::string& what) const;
  const Json* object_;
  std::string name_, source_;
};

}  // namespace pointwork
