#pragma once
// A JSON object from outside, read key by key: each must be what is expected of it, and what nobody
// asked for is known at the end.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace pointwork {

using OrderedJson = nlohmann::ordered_json;

// The object that `text` holds; Error naming `where` otherwise.
OrderedJson parse_object(const std::string& text, const std::string& where);

class JsonKeys {
 public:
  // `where` begins every error: "FOLDER/config.json".
  JsonKeys(const OrderedJson& object, std::string where);

  // Absent and null are the same. Without a fallback absence is an error.
  bool has(const std::string& key) const;
  bool is_null(const std::string& key) const;
  bool is_off(const std::string& key) const;  // absent, null, false or empty
  int64_t whole(const std::string& key, std::optional<int64_t> fallback = {});  // at least 1
  double number(const std::string& key, std::optional<double> fallback = {});
  bool flag(const std::string& key, std::optional<bool> fallback = {});
  std::string text(const std::string& key, std::optional<std::string> fallback = {});
  const OrderedJson* take(const std::string& key);  // null where absent

  void pass(const std::string& key) { read_.insert(key); }  // is known, and means nothing here
  std::vector<std::string> left() const;                    // keys that nobody read
  [[noreturn]] void refuse(const std::string& key, const std::string& expected) const;
  const std::string& where() const { return where_; }

 private:
  const OrderedJson& object_;
  std::string where_;
  std::set<std::string> read_;
};

}  // namespace pointwork
