#include "pointwork/report/json_fields.h"

#include <limits>

#include "pointwork/base/check.h"
#include "pointwork/files/file.h"

namespace pointwork {
namespace {

using Json = nlohmann::ordered_json;

const Json kEmpty = Json::object();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

}  // namespace

JsonFields::JsonFields(const Json& json, std::string where)
    : json_(&json), where_(std::move(where)) {
  check(json.is_object(), where_, ": must be a JSON object but is ", json.type_name());
}

const Json* JsonFields::find(const char* key) const {
  const auto found = json_->find(key);
  return found == json_->end() || found->is_null() ? nullptr : &*found;
}

const Json* JsonFields::array(const char* key) const {
  const Json* value = find(key);
  if (value) {
    check(value->is_array(), where_, ": ", key, " must be an array but is ", value->type_name());
  }
  return value;
}

double JsonFields::number(const char* key) const {
  const Json* value = find(key);
  if (!value) return kNaN;
  check(value->is_number(), where_, ": ", key, " must be a number but is ", value->type_name());
  return value->get<double>();
}

bool JsonFields::flag(const char* key) const {
  const Json* value = find(key);
  if (!value) return false;
  check(value->is_boolean(), where_, ": ", key, " must be true or false but is ",
        value->type_name());
  return value->get<bool>();
}

std::string JsonFields::text(const char* key) const {
  const Json* value = find(key);
  if (!value) return "";
  check(value->is_string(), where_, ": ", key, " must be a string but is ", value->type_name());
  return value->get<std::string>();
}

std::vector<double> JsonFields::numbers(const char* key) const {
  std::vector<double> all;
  const Json* values = array(key);
  if (!values) return all;
  for (const Json& value : *values) {
    check(value.is_number() || value.is_null() || value.is_boolean(), where_, ": ", key,
          " must hold numbers but has ", value.type_name());
    all.push_back(value.is_null()      ? kNaN
                  : value.is_boolean() ? (value.get<bool>() ? 1.0 : 0.0)
                                       : value.get<double>());
  }
  return all;
}

std::vector<std::string> JsonFields::texts(const char* key) const {
  std::vector<std::string> all;
  const Json* values = array(key);
  if (!values) return all;
  for (const Json& value : *values) {
    check(value.is_string(), where_, ": ", key, " must hold strings but has ", value.type_name());
    all.push_back(value.get<std::string>());
  }
  return all;
}

JsonFields JsonFields::object(const char* key) const {
  const Json* value = find(key);
  return {value ? *value : kEmpty, where_ + ", " + key};
}

std::vector<JsonFields> JsonFields::objects(const char* key) const {
  std::vector<JsonFields> all;
  const Json* values = array(key);
  if (!values) return all;
  for (const Json& value : *values) {
    all.emplace_back(value, concat(where_, ", ", key, "[", all.size(), "]"));
  }
  return all;
}

JsonFile::JsonFile(const std::filesystem::path& path) : path_(path) {
  json_ = Json::parse(read_file(path), nullptr, false);
  check(!json_.is_discarded(), path.string(), ": not JSON; the file is damaged or cut short");
}

}  // namespace pointwork
