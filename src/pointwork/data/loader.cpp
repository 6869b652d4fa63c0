#include "pointwork/data/loader.h"

#include <future>

#include "pointwork/base/check.h"
#include "pointwork/base/rng.h"
#include "pointwork/data/permutation.h"

namespace pointwork {

struct Loader::Impl {
  Dataset dataset;
  Split split;
  LoaderOptions options;
  int64_t windows;
  LoaderState state{};
  std::future<Batch> ahead{};  // the batch at `state`, if valid

  // Where the batch after the one at `from` begins.
  LoaderState after(const LoaderState& from) const {
    const int64_t place = from.next + options.sequences;
    return {from.epoch + place / windows, place % windows};
  }

  Batch make(const LoaderState& from) const {
    const auto rows = static_cast<size_t>(options.sequences),
               all = rows * static_cast<size_t>(options.length);
    Batch batch{.sequences = options.sequences, .length = options.length};
    batch.input.resize(all);
    batch.target.resize(all);
    batch.document.resize(all);
    batch.sequence.resize(rows);
    batch.valid.resize(rows);
    for (int64_t row = 0; row < options.sequences; ++row) {
      const int64_t place = from.next + row;
      const auto epoch = static_cast<uint64_t>(from.epoch + place / windows);
      const uint64_t key = random_bits(stream_key(options.seed, "order of windows"), epoch);
      const uint64_t window =
          permuted(static_cast<uint64_t>(place % windows), static_cast<uint64_t>(windows), key);
      dataset.read(split, static_cast<int64_t>(window), row, batch);
    }
    return batch;
  }
};

Loader::Loader(const Dataset& dataset, Split split, LoaderOptions options) {
  check(options.sequences > 0, "a batch must have at least one sequence but has ",
        options.sequences);
  const int64_t windows = dataset.windows(split, options.length);
  check(windows > 0, dataset.folder().string(), ": its ",
        split == Split::train ? "train" : "validation", " split has ", dataset.tokens(split),
        " tokens, too few for an input and a target");
  impl_ = std::make_unique<Impl>(Impl{dataset, split, options, windows});
}

Loader::~Loader() = default;

Batch Loader::next() {
  Impl& self = *impl_;
  Batch batch = self.ahead.valid() ? self.ahead.get() : self.make(self.state);
  self.state = self.after(self.state);
  if (self.options.prefetch) {
    self.ahead =
        std::async(std::launch::async, [&self, from = self.state] { return self.make(from); });
  }
  return batch;
}

LoaderState Loader::state() const { return impl_->state; }

void Loader::restore(const LoaderState& state) {
  check(state.epoch >= 0 && state.next >= 0 && state.next < impl_->windows, "loader state (epoch ",
        state.epoch, ", next ", state.next, ") does not fit a split of ", impl_->windows,
        " windows");
  if (impl_->ahead.valid()) impl_->ahead.wait();
  impl_->ahead = {};
  impl_->state = state;
}

int64_t Loader::windows() const { return impl_->windows; }

}  // namespace pointwork
