#pragma once
// Documents of tokens → the shards of the train and the validation split.

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "pointwork/data/manifest.h"
#include "pointwork/data/shard.h"
#include "pointwork/data/text_encoder.h"

namespace pointwork {

struct SplitOptions {
  std::filesystem::path folder;
  double validation_share = 0.01;  // of the documents, in [0, 1)
  int64_t seed = 1;
  int64_t shard_tokens = kShardTokens;
  std::function<void(const std::string&)> note;
};

// Each document goes whole to one split, by a draw that depends on (seed, its number) alone. Where
// the documents are so few that validation came out empty, or far larger than asked for, `finish`
// splits again by size: whole documents in an order drawn by seed, or, where every document is too
// large for that, the end of the data.
class SplitWriter {
 public:
  SplitWriter(const TextEncoder& encoder, SplitOptions options);
  ~SplitWriter();

  void add(std::span<const int32_t> ids);  // of the open document; opens one
  void end_document();                     // adds the end-of-text token; nothing if none is open
  bool document_open() const { return open_ != nullptr; }

  int64_t tokens() const;
  int64_t documents() const { return documents_; }

  // Closes the shards; fills in the splits.
  void finish(Manifest& manifest);

 private:
  struct Side {
    ShardWriter shards;
    int64_t source_bytes = 0;
  };
  Side side(const char* name, const std::filesystem::path& folder) const;
  void put(Side& side, std::span<const int32_t> ids) const;
  bool out_of_proportion() const;
  void split_again();

  const TextEncoder& encoder_;
  SplitOptions options_;
  std::optional<Side> train_, validation_;
  Side* open_ = nullptr;
  int64_t documents_ = 0;
};

}  // namespace pointwork
