#pragma once
// Learns a byte-level BPE: counts the pieces of the text it is given, then again and again makes
// the most frequent pair of neighbours one token (Sennrich et al., arXiv:1508.07909).

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pointwork/text/tokenizer.h"

namespace pointwork {

struct BpeTrainerOptions {
  int64_t vocab_size = 0;  // tokens in all: the 256 bytes, what is learnt, special tokens
  std::vector<std::string> special = {"<|endoftext|>"};  // the last ids, in this order
  int threads = 0;  // that count pieces; 0: all cores. The result does not depend on it
  // Called from the thread that calls train(), with merges made and wanted; what it throws ends
  // the training.
  std::function<void(int64_t done, int64_t total)> progress;
};

// Ids are as GPT-2's: the 256 bytes in the order of their stand-ins ('!' is 0), tokens in the order
// in which they were learnt, special tokens last. Of equally frequent pairs the one of the smaller
// left id, then right id, comes first; so the merges are those of Hugging Face's BpeTrainer.
// Memory grows with the number of different pieces, not with the text.
class BpeTrainer {
 public:
  // Error where vocab_size leaves no room for the bytes and special tokens.
  explicit BpeTrainer(BpeTrainerOptions options);
  ~BpeTrainer();

  // A document, or a piece of one that ends where the split pattern splits. Special tokens in it
  // are ordinary text.
  void push(std::string_view text);

  // Fewer tokens than asked for where the text has no more pairs to learn. Error where there was no
  // text. To be called once.
  Tokenizer train();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pointwork
