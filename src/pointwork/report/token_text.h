#pragma once
// Tokens as running text, coloured by the share of routed blocks that each took.

#include <string>
#include <vector>

namespace pointwork {

// One <span> a token; tokens before `prompt` are marked as given. A share that is NaN is not
// coloured.
std::string token_spans(const std::vector<std::string>& tokens, const std::vector<double>& shares,
                        size_t prompt);

// One token for a table: spaces stand at the beginning of most and would not be seen, nor would
// control characters. HTML.
std::string visible_token(const std::string& token);

// `shares`, or NaN for all where every known one is 1: colour would say nothing.
std::vector<double> telling_shares(std::vector<double> shares);

std::string share_key();

}  // namespace pointwork
