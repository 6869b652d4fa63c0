#include "pointwork/data/split_writer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "pointwork/base/check.h"
#include "pointwork/base/rng.h"

namespace pointwork {
namespace {

namespace fs = std::filesystem;

// The largest share of the tokens that validation may have by chance.
double tolerated(double share) { return std::min(std::max(2 * share, 0.1), (1 + share) / 2); }

// Calls take(ids) with the tokens of the shards in order, never across the end of a document, and
// end() after each document's last.
template <class Take, class End>
void walk(const fs::path& folder, const std::vector<ShardInfo>& shards, Take take, End end) {
  constexpr int64_t kChunk = int64_t{1} << 18;
  std::vector<int32_t> ids;
  for (const ShardInfo& info : shards) {
    const Shard shard(folder / info.file);
    int64_t at = 0;
    const auto take_until = [&](int64_t stop) {
      while (at < stop) {
        ids.resize(static_cast<size_t>(std::min(kChunk, stop - at)));
        shard.read(at, ids);
        take(std::span<const int32_t>(ids));
        at += static_cast<int64_t>(ids.size());
      }
    };
    for (const uint64_t stop : shard.document_ends()) {
      take_until(static_cast<int64_t>(stop));
      end();
    }
    take_until(shard.tokens());
  }
}

// Documents for validation, by their size in tokens: in drawn order those that fit, until there is
// enough.
std::vector<bool> held_out(const std::vector<int64_t>& sizes, double share, int64_t seed) {
  const double total = static_cast<double>(std::accumulate(sizes.begin(), sizes.end(), int64_t{0}));
  const uint64_t key = stream_key(static_cast<uint64_t>(seed), "validation documents by size");
  std::vector<size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::pair(random_bits(key, a), a) < std::pair(random_bits(key, b), b);
  });
  std::vector<bool> held(sizes.size(), false);
  double taken = 0;
  for (const size_t one : order) {
    if (taken >= share * total) break;
    if (taken + static_cast<double>(sizes[one]) > tolerated(share) * total) continue;
    held[one] = true;
    taken += static_cast<double>(sizes[one]);
  }
  return held;
}

}  // namespace

SplitWriter::SplitWriter(const TextEncoder& encoder, SplitOptions options)
    : encoder_(encoder), options_(std::move(options)) {
  train_.emplace(side("train", options_.folder));
  validation_.emplace(side("validation", options_.folder));
}

SplitWriter::~SplitWriter() = default;

SplitWriter::Side SplitWriter::side(const char* name, const fs::path& folder) const {
  return {ShardWriter({.folder = folder,
                       .name = name,
                       .token_bytes = bytes_a_token(encoder_.vocab_size()),
                       .shard_tokens = options_.shard_tokens})};
}

void SplitWriter::put(Side& side, std::span<const int32_t> ids) const {
  side.shards.add(ids);
  for (const int32_t id : ids) side.source_bytes += encoder_.token_bytes[static_cast<size_t>(id)];
}

void SplitWriter::add(std::span<const int32_t> ids) {
  if (ids.empty()) return;
  if (!open_) {
    const uint64_t key = stream_key(static_cast<uint64_t>(options_.seed), "validation documents");
    const double draw = random_uniform(key, static_cast<uint64_t>(documents_));
    open_ = draw < options_.validation_share ? &*validation_ : &*train_;
  }
  put(*open_, ids);
}

void SplitWriter::end_document() {
  if (!open_) return;
  const int32_t end = encoder_.end_of_text;
  open_->shards.add(std::span(&end, 1));
  open_->shards.end_document();
  open_ = nullptr;
  ++documents_;
}

int64_t SplitWriter::tokens() const {
  return train_->shards.tokens() + validation_->shards.tokens();
}

bool SplitWriter::out_of_proportion() const {
  if (options_.validation_share == 0) return false;
  const int64_t held = validation_->shards.tokens();
  return held < 2 || static_cast<double>(held) >
                         tolerated(options_.validation_share) * static_cast<double>(tokens());
}

void SplitWriter::split_again() {
  const std::vector<const Side*> drafts = {&*train_, &*validation_};
  const fs::path& folder = options_.folder;
  const int64_t total = tokens();
  std::vector<int64_t> sizes;
  for (const Side* draft : drafts) {
    int64_t size = 0;
    walk(
        folder, draft->shards.shards(),
        [&](std::span<const int32_t> ids) { size += static_cast<int64_t>(ids.size()); },
        [&] { sizes.push_back(std::exchange(size, 0)); });
  }
  const std::vector<bool> held = held_out(sizes, options_.validation_share, options_.seed);
  const bool whole = std::find(held.begin(), held.end(), true) != held.end();
  const auto wanted =
      std::max<int64_t>(2, std::llround(options_.validation_share * static_cast<double>(total)));
  // Where there are not two tokens for either split, nothing is held out.
  const int64_t cut = total - wanted < 2 ? total : total - wanted;

  const fs::path again = folder / "again";
  fs::create_directory(again);
  Side train = side("train", again), validation = side("validation", again);
  size_t document = 0;
  int64_t place = 0;
  bool train_is_open = false;
  const auto take = [&](std::span<const int32_t> ids) {
    if (whole) return put(held[document] ? validation : train, ids);
    const auto first =
        static_cast<size_t>(std::clamp<int64_t>(cut - place, 0, static_cast<int64_t>(ids.size())));
    put(train, ids.first(first));
    train_is_open = train_is_open || first > 0;
    if (first < ids.size() && std::exchange(train_is_open, false)) train.shards.end_document();
    put(validation, ids.subspan(first));
    place += static_cast<int64_t>(ids.size());
  };
  const auto end = [&] {
    const bool to_validation = whole ? held[document] : place > cut;
    (to_validation ? validation : train).shards.end_document();
    train_is_open = false;
    ++document;
  };
  for (const Side* draft : drafts) walk(folder, draft->shards.shards(), take, end);
  train.shards.finish();
  validation.shards.finish();
  for (const Side* draft : drafts) {
    for (const ShardInfo& shard : draft->shards.shards()) fs::remove(folder / shard.file);
  }
  for (const Side* side : {&train, &validation}) {
    for (const ShardInfo& shard : side->shards.shards())
      fs::rename(again / shard.file, folder / shard.file);
  }
  fs::remove(again);
  if (options_.note && !whole && cut == total) {
    options_.note(concat("no validation split: ", total, " tokens are too few for one"));
  } else if (options_.note && !whole) {
    options_.note(concat("too few documents to hold whole ones out: the last ", total - cut,
                         " tokens are the validation split"));
  }
  train_.emplace(std::move(train));
  validation_.emplace(std::move(validation));
}

void SplitWriter::finish(Manifest& manifest) {
  end_document();
  train_->shards.finish();
  validation_->shards.finish();
  if (out_of_proportion()) split_again();
  for (auto [side, split] :
       {std::pair{&*train_, &manifest.train}, std::pair{&*validation_, &manifest.validation}}) {
    *split = {.tokens = side->shards.tokens(),
              .documents = side->shards.documents(),
              .source_bytes = side->source_bytes,
              .shards = side->shards.shards()};
  }
}

}  // namespace pointwork
