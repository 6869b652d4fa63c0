#pragma once
// Fields of a JSON object that others wrote: what is absent or null is empty or NaN, what has the
// wrong type is an error that names file and field.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace pointwork {

// Refers to `json`, which must live longer.
class JsonFields {
 public:
  JsonFields(const nlohmann::ordered_json& json, std::string where);  // Error unless an object

  double number(const char* key) const;
  bool flag(const char* key) const;  // absent: false
  std::string text(const char* key) const;
  std::vector<double> numbers(const char* key) const;  // numbers, null or true and false
  std::vector<std::string> texts(const char* key) const;
  JsonFields object(const char* key) const;  // absent: an object without fields
  std::vector<JsonFields> objects(const char* key) const;

  const nlohmann::ordered_json& json() const { return *json_; }
  const std::string& where() const { return where_; }

 private:
  const nlohmann::ordered_json* find(const char* key) const;  // null: absent, or JSON's null
  const nlohmann::ordered_json* array(const char* key) const;

  const nlohmann::ordered_json* json_;
  std::string where_;
};

// A file that holds one JSON object. Error, naming the file, if it does not.
class JsonFile {
 public:
  explicit JsonFile(const std::filesystem::path& path);
  JsonFile(const JsonFile&) = delete;
  JsonFile& operator=(const JsonFile&) = delete;
  JsonFields fields() const { return {json_, path_.string()}; }

 private:
  std::filesystem::path path_;
  nlohmann::ordered_json json_;
};

}  // namespace pointwork
