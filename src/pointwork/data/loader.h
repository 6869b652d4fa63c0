#pragma once
// A data set's windows in an order shuffled by seed. The state is two integers, so a resume is
// exact.

#include <filesystem>
#include <memory>
#include <string>

#include "pointwork/data/batch.h"

namespace pointwork {

enum class Split { train, validation };

// A folder made by `prepare`: dataset.json, shards of tokens, tokenizer.json. Opening maps the
// shards and checks sizes; `verify` reads all.
class Dataset {
 public:
  explicit Dataset(const std::filesystem::path& folder);
  int64_t tokens(Split split) const;
  int64_t documents(Split split) const;
  int64_t vocab_size() const;
  double bytes_per_token(
      Split split) const;  // UTF-8 bytes of the source text a token: for bits a byte
  const std::string& tokenizer_hash() const;
  const std::string& hash() const;  // of dataset.json's content: names the data in a checkpoint
  const std::filesystem::path& folder() const;

  // Windows of `length` inputs; consecutive windows overlap by the one token that is only a target
  // in the first. The last window may be shorter, so that every token but the very first is a
  // target exactly once.
  int64_t windows(Split split, int64_t length) const;
  // Fills row `row` of the batch from window `window`. Beyond the end of the data: input 0, target
  // -1, a document of its own. Error on an id that the vocabulary has not.
  void read(Split split, int64_t window, int64_t row, Batch& batch) const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

struct LoaderState {
  int64_t epoch = 0;
  int64_t next = 0;  // windows of this epoch already given out
  bool operator==(const LoaderState&) const = default;
};

struct LoaderOptions {
  int64_t sequences = 8;  // B
  int64_t length = 256;   // S
  uint64_t seed = 1;
  bool prefetch = true;  // a thread reads the next batch ahead; the order does not depend on it
};

// Every window once an epoch, in an order that is a pure function of (seed, epoch). An epoch's end
// is crossed inside a batch.
class Loader {
 public:
  Loader(const Dataset& dataset, Split split, LoaderOptions options);
  ~Loader();
  Batch next();
  LoaderState state() const;  // of the next batch to be given out
  void restore(const LoaderState& state);
  int64_t windows() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pointwork
