#pragma once
// tokenizer.json taken apart: its two long lists apart from its settings. Nothing is judged yet.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pointwork {

inline constexpr uint64_t kMostTokens = uint64_t{1} << 24;

struct TokenizerFile {
  nlohmann::json settings;  // all but the lists
  bool has_vocab = false, has_scores = false, has_merges = false;
  std::unordered_map<std::string, int32_t> vocab;           // model.vocab: of an object, or the
  std::vector<double> scores;                               // places in a list, with these scores
  std::vector<std::pair<std::string, std::string>> merges;  // model.merges, by rank
};

// Error, beginning with `source`, where the text is not JSON, an object has a key twice, or a list
// holds something else than it should.
TokenizerFile read_tokenizer_file(std::string_view text, const std::string& source);

// A value as messages show it: JSON, cut short.
std::string shown(const nlohmann::json& value);

}  // namespace pointwork
