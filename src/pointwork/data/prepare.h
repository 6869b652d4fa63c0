#pragma once
// Inputs of any kind → a data set's folder: shards of tokens, dataset.json, tokenizer.json.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "pointwork/data/manifest.h"
#include "pointwork/data/source.h"
#include "pointwork/data/text_encoder.h"

namespace pointwork {

struct PrepareProgress {
  uint64_t bytes_done = 0, bytes_total = 0;  // of the inputs as they lie on disk
  int64_t documents = 0, tokens = 0;         // written
};

struct PrepareOptions {
  std::vector<std::filesystem::path> inputs;
  std::filesystem::path out;
  SourceOptions source;
  double validation_share = 0.01;  // of the documents; 0: none
  int64_t seed = 1;                // of the choice of validation documents
  int threads = 0;                 // that encode; 0: all cores. The result does not depend on it
  bool replace = false;            // an existing data set
  int64_t shard_tokens = kShardTokens;
  // Called at the beginning and a few times a second from the calling thread; what it throws ends
  // the run.
  std::function<void(const PrepareProgress&)> progress;
};

// An end-of-text token follows each document. Token files are divided at the end-of-text tokens
// they hold, wherever those stand: before a document (llm.c) or after it (nanoGPT). Memory does not
// grow with the inputs. The folder appears whole or not at all.
Manifest prepare(const PrepareOptions& options, const TextEncoder& encoder);

}  // namespace pointwork
