#pragma once
// A ragged key-value cache: per attention site and sequence only the rows that went in, with their
// positions.

#include <memory>
#include <vector>

#include "pointwork/route/rows.h"

namespace pointwork {

// A site is one application of attention; its number is fixed at build, so a skipped block shifts
// nobody.
class KvCache {
 public:
  // `sequences` rows of a batch, each growing on its own. Memory is taken as rows come, by doubling
  // up to `limit` rows a sequence and site.
  KvCache(int64_t sites, int64_t sequences, int64_t limit);

  // Appends key and value of the given rows (ascending within each sequence) and lets each query
  // see the rows of its sequence up to and including itself. query [T, H, hd], key and value [T, K,
  // hd] → [T, H, hd]. Error past the limit. `asking` (int32 [T'], ascending): the rows whose
  // queries these are, [T', H, hd]; undefined: all.
  Tensor attend(int64_t site, const Tensor& query, const Tensor& key, const Tensor& value,
                const Rows& rows, double scale, const Tensor& asking = {});

  int64_t length(int64_t site, int64_t sequence) const;
  int64_t sites() const { return static_cast<int64_t>(cells_.size()) / sequences_; }
  int64_t sequences() const { return sequences_; }
  int64_t bytes() const;  // of rows held, not of memory reserved

 private:
  struct Cell {
    Tensor key, value;  // [reserved, K, hd]
    int64_t length = 0;
  };
  void append(Cell& cell, const Tensor& key, const Tensor& value);

  int64_t sequences_, limit_;
  std::vector<Cell> cells_;  // [sites, sequences]
};

}  // namespace pointwork
