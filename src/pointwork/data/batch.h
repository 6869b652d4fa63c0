#pragma once
// What a training step reads. Plain memory, so that the data path knows no tensor.

#include <cstdint>
#include <vector>

namespace pointwork {

struct Batch {
  int64_t sequences = 0;          // B
  int64_t length = 0;             // S
  std::vector<int32_t> input;     // [B * S]
  std::vector<int32_t> target;    // [B * S]  the next token; -1: no loss there
  std::vector<int32_t> document;  // [B * S]  number of the document within its sequence, from 0
  std::vector<int64_t>
      sequence;  // [B]      index of the sequence in the data set: keys random routing
  std::vector<int32_t> valid;  // [B]      rows that are not padding (a prefix)
};

}  // namespace pointwork
