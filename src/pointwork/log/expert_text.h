#pragma once
// Which experts each token of a text chose, as a table for a terminal.

#include <string>
#include <vector>

namespace pointwork {

struct TokenExperts {
  std::string bytes;                     // may be part of a UTF-8 character
  std::vector<std::vector<int>> choice;  // by layer: experts, below 0: no expert did anything;
                                         // empty: the token did not stand before this router
};

// A title and then a line a token, with a column a layer: "the  3  7,·". The rounds of a repeat
// ("layers.1.mha", "layers.1.mha#1" …) share a column, in their order: "the  02·1", and with spaces
// between them where one is wider than a digit. Columns are headed by what tells their names apart.
// Where they do not fit into `columns`, the rest follows below as further tables. No line end at
// the end.
std::string expert_text(const std::vector<std::string>& layers,
                        const std::vector<TokenExperts>& tokens, int columns);

}  // namespace pointwork
