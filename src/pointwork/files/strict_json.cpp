#include "pointwork/files/strict_json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "pointwork/base/check.h"
#include "pointwork/base/printable.h"

namespace pointwork {
namespace {

using Json = nlohmann::json;

constexpr const char* kNotJson = "is not valid JSON";

// Hears the events of a parser that builds nothing.
class Watcher : public nlohmann::json_sax<Json> {
 public:
  explicit Watcher(size_t deepest) : deepest_(deepest) {}
  std::string fault;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }

  bool start_array(size_t) override { return enter(); }
  bool start_object(size_t) override { return enter(); }
  bool end_array() override { return leave(); }
  bool end_object() override { return leave(); }

  bool key(string_t& name) override {
    if (keys_.back().insert(name).second) return true;
    fault = concat("has the key '", printable(name), "' twice");
    return false;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
    fault = kNotJson;
    return false;
  }

 private:
  bool enter() {
    keys_.emplace_back();
    if (keys_.size() > deepest_) fault = concat("is nested more than ", deepest_, " deep");
    return fault.empty();
  }
  bool leave() {
    keys_.pop_back();
    return true;
  }

  size_t deepest_;
  std::vector<std::set<std::string>> keys_;  // of each open object
};

}  // namespace

std::string json_fault(std::string_view text, size_t deepest) {
  // The parser takes a NUL for the end, whatever follows.
  if (text.find('\0') != std::string_view::npos) return kNotJson;
  Watcher watcher(deepest);
  Json::sax_parse(text.begin(), text.end(), &watcher);
  return watcher.fault;
}

}  // namespace pointwork
