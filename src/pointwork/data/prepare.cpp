#include "pointwork/data/prepare.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <future>
#include <mutex>
#include <thread>

#include "pointwork/base/check.h"
#include "pointwork/data/leftovers.h"
#include "pointwork/data/split_writer.h"
#include "pointwork/files/file.h"

namespace pointwork {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBatchBytes = size_t{1} << 22;

struct Piece {
  Document document;
  std::vector<int32_t> ids;
  std::string place;  // of a token file
};

// What is read ahead while the one before is encoded.
struct PieceBatch {
  std::vector<Piece> pieces;
  std::vector<std::string> notes;
  uint64_t bytes_done = 0;
};

PieceBatch read_batch(DocumentReader& reader, std::vector<std::string>& notes) {
  PieceBatch batch;
  size_t size = 0;
  Document document;
  while (size < kBatchBytes && reader.next(document)) {
    size += document.text.size() + document.tokens.size() * sizeof(int32_t) + sizeof(Piece);
    const bool tokens = reader.holds_tokens();
    batch.pieces.push_back({.document = std::move(document),
                            .ids = {},
                            .place = tokens ? reader.place() : std::string()});
    document = {};
  }
  batch.bytes_done = reader.bytes_read();
  batch.notes.swap(notes);
  return batch;
}

void encode_piece(Piece& piece, const TextEncoder& encoder) {
  if (piece.place.empty()) {
    encoder.encode(piece.document.text, piece.ids);
    std::string().swap(piece.document.text);
    return;
  }
  piece.ids = std::move(piece.document.tokens);
  const int64_t size = encoder.vocab_size();
  const auto bad = std::find_if(piece.ids.begin(), piece.ids.end(),
                                [&](int32_t id) { return id < 0 || id >= size; });
  check(bad == piece.ids.end(), piece.place, ": has token id ", bad == piece.ids.end() ? 0 : *bad,
        ", but the tokenizer has ids 0 .. ", size - 1, ": written with another tokenizer?");
}

void encode_batch(PieceBatch& batch, const TextEncoder& encoder, size_t threads) {
  std::atomic<size_t> next{0};
  std::exception_ptr failure;
  std::mutex guard;
  const auto work = [&] {
    try {
      for (size_t i; (i = next++) < batch.pieces.size();) encode_piece(batch.pieces[i], encoder);
    } catch (...) {
      const std::lock_guard lock(guard);
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::jthread> helpers;
  for (size_t i = 1; i < std::min(threads, batch.pieces.size()); ++i) helpers.emplace_back(work);
  work();
  helpers.clear();
  if (failure) std::rethrow_exception(failure);
}

void write_batch(const PieceBatch& batch, const TextEncoder& encoder, SplitWriter& writer) {
  for (const Piece& piece : batch.pieces) {
    std::span<const int32_t> ids = piece.ids;
    while (!piece.place.empty()) {
      const auto end = std::find(ids.begin(), ids.end(), encoder.end_of_text);
      if (end == ids.end()) break;
      writer.add(ids.first(static_cast<size_t>(end - ids.begin())));
      writer.end_document();
      ids = ids.subspan(static_cast<size_t>(end - ids.begin()) + 1);
    }
    writer.add(ids);
    if (piece.document.ends) writer.end_document();
  }
}

bool within(const fs::path& inner, const fs::path& outer) {
  const auto [a, b] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return a == outer.end();
}

// --force must not cost anyone what is no data set, or what is being read.
void check_replaceable(const PrepareOptions& options) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(options.out, error))) return;
  check(options.replace, options.out.string(), " exists already (--force replaces it)");
  check(fs::is_directory(options.out, error) &&
            (fs::exists(options.out / kDatasetFile, error) || fs::is_empty(options.out, error)),
        options.out.string(), " exists and is no data set, so it is not replaced");
  const fs::path out = fs::canonical(options.out);
  for (const fs::path& input : options.inputs) {
    const fs::path from = fs::weakly_canonical(input);
    check(!within(from, out) && !within(out, from), options.out.string(),
          " cannot be replaced: input ", input.string(), " overlaps it");
  }
}

}  // namespace

Manifest prepare(const PrepareOptions& options, const TextEncoder& encoder) {
  check(!options.out.empty(), "no folder is named for the data set");
  check(options.validation_share >= 0 && options.validation_share < 1,
        "the validation share must be at least 0 and below 1 but is ", options.validation_share);
  remove_leftovers(options.out);
  check_replaceable(options);

  // Notes arise while reading ahead but are told from the calling thread.
  std::vector<std::string> notes;
  SourceOptions source = options.source;
  source.note = [&notes](const std::string& text) { notes.push_back(text); };
  const auto tell = [&](const std::vector<std::string>& all) {
    if (!options.source.note) return;
    for (const std::string& one : all) options.source.note(one);
  };
  DocumentReader reader(options.inputs, source);

  Manifest manifest{.vocab_size = encoder.vocab_size(),
                    .token_bytes = bytes_a_token(encoder.vocab_size()),
                    .end_of_text = encoder.end_of_text,
                    .tokenizer_hash = encoder.hash,
                    .train = {},
                    .validation = {},
                    .validation_share = options.validation_share,
                    .seed = options.seed,
                    .sources = {}};
  for (const fs::path& input : options.inputs) manifest.sources.push_back(input.string());

  const size_t threads = options.threads > 0 ? static_cast<size_t>(options.threads)
                                             : std::max(1u, std::thread::hardware_concurrency());
  const auto report = [&](uint64_t bytes_done, int64_t documents, int64_t tokens) {
    if (!options.progress) return;
    options.progress({.bytes_done = bytes_done,
                      .bytes_total = reader.bytes_total(),
                      .documents = documents,
                      .tokens = tokens});
  };
  const auto fill = [&](const fs::path& folder) {
    report(0, 0, 0);
    SplitWriter writer(encoder, {.folder = folder,
                                 .validation_share = options.validation_share,
                                 .seed = options.seed,
                                 .shard_tokens = options.shard_tokens,
                                 .note = options.source.note});
    PieceBatch batch = read_batch(reader, notes);
    while (!batch.pieces.empty()) {
      tell(batch.notes);
      auto ahead = std::async(std::launch::async, [&] { return read_batch(reader, notes); });
      encode_batch(batch, encoder, threads);
      write_batch(batch, encoder, writer);
      report(batch.bytes_done, writer.documents(), writer.tokens());
      batch = ahead.get();
    }
    tell(batch.notes);
    check(writer.documents() > 0, "the inputs hold no document");
    writer.finish(manifest);
    write_file(folder / kDatasetFile, manifest.to_json().dump(2) + "\n");
    write_file(folder / "tokenizer.json", encoder.json);
  };
  write_folder(options.out, fill, {.replace = options.replace});
  return manifest;
}

}  // namespace pointwork
