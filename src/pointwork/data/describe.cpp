#include "pointwork/data/describe.h"

#include <algorithm>
#include <optional>

#include "pointwork/base/check.h"
#include "pointwork/data/manifest.h"
#include "pointwork/data/shard.h"
#include "pointwork/text/tokenizer.h"

namespace pointwork {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json facts_of(const SplitManifest& split) {
  int64_t bytes = 0;
  for (const ShardInfo& shard : split.shards) bytes += shard.bytes;
  return {{"tokens", split.tokens},
          {"documents", split.documents},
          {"source_bytes", split.source_bytes},
          {"bytes_per_token", static_cast<double>(split.source_bytes) /
                                  static_cast<double>(std::max<int64_t>(split.tokens, 1))},
          {"shards", split.shards.size()},
          {"bytes", bytes}};
}

void describe(const Manifest& manifest, Json& facts) {
  facts["hash"] = manifest.hash();
  facts["tokens"] = manifest.train.tokens + manifest.validation.tokens;
  facts["documents"] = manifest.train.documents + manifest.validation.documents;
  facts["vocab_size"] = manifest.vocab_size;
  facts["token_bytes"] = manifest.token_bytes;
  facts["end_of_text"] = manifest.end_of_text;
  facts["tokenizer_hash"] = manifest.tokenizer_hash;
  facts["validation_share"] = manifest.validation_share;
  facts["seed"] = manifest.seed;
  facts["train"] = facts_of(manifest.train);
  facts["validation"] = facts_of(manifest.validation);
  facts["sources"] = manifest.sources;
}

class Gatherer {
 public:
  explicit Gatherer(DatasetReport& report) : report_(report) {}
  template <class Read>
  void operator()(Read read) {
    try {
      read();
    } catch (const Error& error) {
      report_.problems.emplace_back(error.what());
    } catch (const fs::filesystem_error& error) {
      report_.problems.push_back(concat(error.path1().string(), ": ", error.code().message()));
    }
  }

 private:
  DatasetReport& report_;
};

void check_ids(const Shard& shard, int64_t vocab_size) {
  constexpr int64_t kChunk = int64_t{1} << 18;
  std::vector<int32_t> ids;
  for (int64_t at = 0; at < shard.tokens(); at += kChunk) {
    ids.resize(static_cast<size_t>(std::min(kChunk, shard.tokens() - at)));
    shard.read(at, ids);
    const auto bad = std::find_if(ids.begin(), ids.end(), [&](int32_t id) {
      return static_cast<uint32_t>(id) >= static_cast<uint64_t>(vocab_size);
    });
    check(bad == ids.end(), shard.path().string(), ": token ", at + (bad - ids.begin()),
          " has an id that a vocabulary of ", vocab_size, " has not");
  }
}

void check_shard(const fs::path& folder, const ShardInfo& said, const Manifest& manifest) {
  const Shard shard(folder / said.file);
  const std::string name = shard.path().string();
  check(shard.token_bytes() == manifest.token_bytes, name, ": has ", shard.token_bytes(),
        " bytes a token, dataset.json says ", manifest.token_bytes);
  const ShardInfo& found = shard.info();
  check(
      found.tokens == said.tokens && found.documents == said.documents && found.bytes == said.bytes,
      name, ": has ", found.tokens, " tokens, ", found.documents, " documents and ", found.bytes,
      " bytes; dataset.json says ", said.tokens, ", ", said.documents, " and ", said.bytes);
  const std::string hash = shard.payload_hash();
  check(hash == said.hash && found.hash == said.hash, name,
        ": damaged: its content does not have the hash ", said.hash, " it was written with");
  check_ids(shard, manifest.vocab_size);
  uint64_t last = 0;
  for (const uint64_t end : shard.document_ends()) {
    check(end >= last && end <= static_cast<uint64_t>(shard.tokens()), name,
          ": a document ends at token ", end, ", after one that ends at ", last, " of ",
          shard.tokens());
    last = end;
  }
}

}  // namespace

DatasetReport describe_dataset(const fs::path& folder) {
  DatasetReport report;
  Gatherer gather(report);
  gather([&] { describe(read_manifest(folder), report.facts); });
  return report;
}

DatasetReport verify_dataset(const fs::path& folder) {
  DatasetReport report;
  Gatherer gather(report);
  std::optional<Manifest> manifest;
  gather([&] {
    manifest = read_manifest(folder);
    describe(*manifest, report.facts);
  });
  if (!manifest) return report;
  for (const SplitManifest* split : {&manifest->train, &manifest->validation}) {
    for (const ShardInfo& shard : split->shards)
      gather([&] { check_shard(folder, shard, *manifest); });
  }
  gather([&] {
    const Tokenizer tokenizer = Tokenizer::load(folder);
    check(tokenizer.hash() == manifest->tokenizer_hash, (folder / "tokenizer.json").string(),
          ": not the tokenizer that the tokens were made with (hash ", tokenizer.hash(),
          ", expected ", manifest->tokenizer_hash, ")");
  });
  return report;
}

}  // namespace pointwork
