#include "pointwork/checkpoint/json_keys.h"

#include "pointwork/base/check.h"
#include "pointwork/base/printable.h"
#include "pointwork/files/strict_json.h"

namespace pointwork {
namespace {

constexpr size_t kDeepest = 32;
constexpr int64_t kLargest = int64_t{1} << 40;

}  // namespace

OrderedJson parse_object(const std::string& text, const std::string& where) {
  const std::string fault = json_fault(text, kDeepest);
  check(fault.empty(), where, ": it ", fault);
  OrderedJson json = OrderedJson::parse(text);
  check(json.is_object(), where, ": expected a JSON object");
  return json;
}

JsonKeys::JsonKeys(const OrderedJson& object, std::string where)
    : object_(object), where_(std::move(where)) {}

bool JsonKeys::has(const std::string& key) const {
  return object_.contains(key) && !object_[key].is_null();
}

bool JsonKeys::is_null(const std::string& key) const {
  return object_.contains(key) && object_[key].is_null();
}

bool JsonKeys::is_off(const std::string& key) const {
  return !has(key) || object_[key] == false || object_[key].empty();
}

void JsonKeys::refuse(const std::string& key, const std::string& expected) const {
  const std::string found =
      object_.contains(key) ? printable(object_[key].dump(), 60) : "no such key";
  fail(where_, ": ", printable(key), " must be ", expected, ", found ", found);
}

const OrderedJson* JsonKeys::take(const std::string& key) {
  read_.insert(key);
  return has(key) ? &object_[key] : nullptr;
}

int64_t JsonKeys::whole(const std::string& key, std::optional<int64_t> fallback) {
  const OrderedJson* value = take(key);
  if (!value && fallback) return *fallback;
  const int64_t found = value && value->is_number_integer() ? value->get<int64_t>() : 0;
  if (found < 1 || found > kLargest) refuse(key, "a whole number of at least 1");
  return found;
}

double JsonKeys::number(const std::string& key, std::optional<double> fallback) {
  const OrderedJson* value = take(key);
  if (!value && fallback) return *fallback;
  if (!value || !value->is_number()) refuse(key, "a number");
  return value->get<double>();
}

bool JsonKeys::flag(const std::string& key, std::optional<bool> fallback) {
  const OrderedJson* value = take(key);
  if (!value && fallback) return *fallback;
  if (!value || !value->is_boolean()) refuse(key, "true or false");
  return value->get<bool>();
}

std::string JsonKeys::text(const std::string& key, std::optional<std::string> fallback) {
  const OrderedJson* value = take(key);
  if (!value && fallback) return *fallback;
  if (!value || !value->is_string()) refuse(key, "text");
  return value->get<std::string>();
}

std::vector<std::string> JsonKeys::left() const {
  std::vector<std::string> names;
  for (const auto& [key, value] : object_.items()) {
    if (!read_.count(key)) names.push_back(key);
  }
  return names;
}

}  // namespace pointwork
