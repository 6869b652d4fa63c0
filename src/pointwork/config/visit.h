#pragma once
// What every walk over the fields of a config shares.

#include <string>
#include <vector>

#include "pointwork/config/fields.h"

namespace pointwork {

struct IgnoreField {
  template <class T>
  void operator()(const char*, T&, const Field&) const {}
};

// A struct with a fields() list.
template <class T>
concept HasFields = requires(T& value, IgnoreField& visit) {
  T::fields(value, visit);
};

inline std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) text += (i ? ", " : "") + names[i];
  return text;
}

template <class E>
std::vector<std::string> enum_names() {
  std::vector<std::string> names;
  for (const auto& [name, value] : EnumNames<E>::names) names.emplace_back(name);
  return names;
}

std::string number_text(double value);       // the shortest that reads back the same
std::string range_text(const Field& facts);  // "above 0 and at most 1", "" where there is no bound

}  // namespace pointwork
