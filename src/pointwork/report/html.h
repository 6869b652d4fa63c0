#pragma once
// Text made safe for a page.

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>

namespace pointwork {

// For element content and for quoted attributes: & < > " ' are escaped, other control characters
// than tab and line ends dropped, and bytes that are not UTF-8 become U+FFFD.
std::string escape_html(std::string_view text);

// JSON for the inside of a <script type="application/json">: nothing in it can end the element.
std::string script_json(const nlohmann::ordered_json& json);

// The first `count` characters, with an ellipsis where there were more. `text` must be UTF-8.
std::string shortened(std::string_view text, size_t count);

// A length for a drawing, to a tenth of a pixel.
inline double px(double value) { return std::round(10 * value) / 10; }

template <class... Parts>
void append(std::string& out, const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  out += stream.str();
}

}  // namespace pointwork
