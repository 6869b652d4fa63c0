#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/data/loader.h"
#include "pointwork/data/manifest.h"

namespace pointwork {

struct Dataset::Impl {
  struct Tokens {
    std::vector<Shard> shards;
    std::vector<int64_t> first;  // token of the split that each shard begins with
    int64_t total = 0;
  };
  std::filesystem::path folder;
  Manifest manifest;
  std::string hash;
  Tokens train, validation;

  const Tokens& of(Split split) const { return split == Split::train ? train : validation; }
  const SplitManifest& told(Split split) const {
    return split == Split::train ? manifest.train : manifest.validation;
  }

  Tokens open(const SplitManifest& split) const {
    Tokens tokens;
    for (const ShardInfo& said : split.shards) {
      Shard shard(folder / said.file);
      const ShardInfo& found = shard.info();
      check(shard.token_bytes() == manifest.token_bytes, shard.path().string(), ": must have ",
            manifest.token_bytes, " bytes a token, as dataset.json says, but has ",
            shard.token_bytes());
      check(found == said, shard.path().string(), ": dataset.json says ", said.tokens, " tokens, ",
            said.documents, " documents, hash ", said.hash, "; its header says ", found.tokens,
            ", ", found.documents, ", ", found.hash);
      tokens.first.push_back(tokens.total);
      tokens.total += found.tokens;
      tokens.shards.push_back(std::move(shard));
    }
    return tokens;
  }
};

Dataset::Dataset(const std::filesystem::path& folder) {
  auto impl = std::make_shared<Impl>();
  impl->folder = folder;
  impl->manifest = read_manifest(folder);
  impl->hash = impl->manifest.hash();
  impl->train = impl->open(impl->manifest.train);
  impl->validation = impl->open(impl->manifest.validation);
  impl_ = std::move(impl);
}

int64_t Dataset::tokens(Split split) const { return impl_->told(split).tokens; }
int64_t Dataset::documents(Split split) const { return impl_->told(split).documents; }
int64_t Dataset::vocab_size() const { return impl_->manifest.vocab_size; }
const std::string& Dataset::tokenizer_hash() const { return impl_->manifest.tokenizer_hash; }
const std::string& Dataset::hash() const { return impl_->hash; }
const std::filesystem::path& Dataset::folder() const { return impl_->folder; }

double Dataset::bytes_per_token(Split split) const {
  const SplitManifest& told = impl_->told(split);
  return static_cast<double>(told.source_bytes) /
         static_cast<double>(std::max<int64_t>(told.tokens, 1));
}

int64_t Dataset::windows(Split split, int64_t length) const {
  check(length > 0, "a window's length must be above 0 but is ", length);
  const int64_t targets = std::max<int64_t>(tokens(split) - 1, 0);
  return (targets + length - 1) / length;
}

void Dataset::read(Split split, int64_t window, int64_t row, Batch& batch) const {
  const int64_t length = batch.length;
  check(window >= 0 && window < windows(split, length), "window ", window,
        " asked for, the split has ", windows(split, length));
  check(row >= 0 && row < batch.sequences, "row ", row, " of a batch of ", batch.sequences);
  const Impl::Tokens& tokens = impl_->of(split);
  const int64_t begin = window * length;
  const int64_t valid = std::min(length, tokens.total - 1 - begin);
  const auto at = static_cast<size_t>(row * length);
  const std::span<int32_t> input = std::span(batch.input).subspan(at, static_cast<size_t>(length));
  const std::span<int32_t> target =
      std::span(batch.target).subspan(at, static_cast<size_t>(length));
  const std::span<int32_t> document =
      std::span(batch.document).subspan(at, static_cast<size_t>(length));

  std::vector<int32_t> ids(static_cast<size_t>(valid) + 1);
  std::fill(document.begin(), document.end(), 0);
  const int64_t end = begin + valid + 1;
  size_t shard = static_cast<size_t>(
      std::upper_bound(tokens.first.begin(), tokens.first.end(), begin) - tokens.first.begin() - 1);
  for (int64_t done = begin; done < end; ++shard) {
    const Shard& from = tokens.shards[shard];
    const int64_t first = tokens.first[shard];
    const int64_t stop = std::min(end, first + from.tokens());
    from.read(done - first, std::span(ids).subspan(static_cast<size_t>(done - begin),
                                                   static_cast<size_t>(stop - done)));
    const auto ends = from.document_ends();
    // A mark where a document begins; summed up below. One that begins with the window is number 0.
    for (auto one = std::upper_bound(ends.begin(), ends.end(), static_cast<uint64_t>(done - first));
         one != ends.end(); ++one) {
      const int64_t place = static_cast<int64_t>(*one) + first - begin;
      if (place >= valid || place < 0) break;
      if (place > 0) document[static_cast<size_t>(place)] = 1;
    }
    done = stop;
  }
  uint32_t largest = 0;
  for (const int32_t id : ids) largest = std::max(largest, static_cast<uint32_t>(id));
  check(largest < static_cast<uint64_t>(vocab_size()), folder().string(), ": window ", window,
        " of ", length, " tokens has id ", largest, ", but the vocabulary has ", vocab_size(),
        ": damaged (verify tells where)");

  if (valid < length) document[static_cast<size_t>(valid)] = 1;
  for (size_t i = 1; i < document.size(); ++i) document[i] += document[i - 1];
  const auto rows = static_cast<size_t>(valid);
  std::copy_n(ids.begin(), rows, input.begin());
  std::copy_n(ids.begin() + 1, rows, target.begin());
  std::fill(input.begin() + valid, input.end(), 0);
  std::fill(target.begin() + valid, target.end(), -1);
  batch.sequence[static_cast<size_t>(row)] = window;
  batch.valid[static_cast<size_t>(row)] = static_cast<int32_t>(valid);
}

}  // namespace pointwork
