#pragma once
// Text that shows how much of a model each token passed through.

#include <array>
#include <string>
#include <vector>

namespace pointwork {

struct TokenShare {
  std::string bytes;  // may be part of a UTF-8 character
  double share = 0;   // of the routed blocks before which it stood, those it took: in [0, 1]; not
                      // finite: not known
};

// Colours of the 256-colour palette from no block to all of them; each has a contrast of at least 3
// to black and to white.
inline constexpr std::array<int, 8> kShareRamp = {244, 67, 33, 63, 129, 164, 161, 196};

// The text and, on a last line without its end, a legend. With `colour` each token is written in
// the colour of its share, a character split over several tokens in that of their mean. Without, a
// subscript digit follows each token: ₀ none … ₉ all, ₋ not known. Control characters and
// ill-formed bytes are shown by signs, never sent to the terminal.
std::string routing_text(const std::vector<TokenShare>& tokens, bool colour);

}  // namespace pointwork
