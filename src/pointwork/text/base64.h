#pragma once
// Bytes in JSON (RFC 4648).

#include <optional>
#include <string>
#include <string_view>

namespace pointwork {

std::string to_base64(std::string_view bytes);
std::optional<std::string> from_base64(std::string_view text);  // nothing where it is none

}  // namespace pointwork
