#include "pointwork/text/tokenizer_impl.h"

#include <algorithm>
#include <atomic>

#include "pointwork/files/hash.h"
#include "pointwork/text/piece_cache.h"
#include "pointwork/text/split.h"

namespace pointwork {
namespace {

// What ids mean, as bytes: each token with its length and kind, then the merges by rank.
std::string hash_of(const Vocabulary& vocabulary) {
  std::vector<uint32_t> words = {static_cast<uint32_t>(vocabulary.tokens.size())};
  std::string text;
  for (const std::string& token : vocabulary.tokens) {
    words.push_back(static_cast<uint32_t>(token.size()));
    text += token;
  }
  for (const AddedToken& token : vocabulary.added) {
    words.push_back(static_cast<uint32_t>(token.id));
    words.push_back(token.special ? 1 : 0);
    words.push_back(token.normalized ? 1 : 0);
  }
  words.push_back(UINT32_MAX);
  for (const auto& [left, right] : vocabulary.merges) {
    words.push_back(static_cast<uint32_t>(left));
    words.push_back(static_cast<uint32_t>(right));
  }
  Hasher hasher;
  hasher.update(std::as_bytes(std::span(words)));
  hasher.update(std::as_bytes(std::span(text)));
  return hasher.digest();
}

std::vector<bool> special_of(const Vocabulary& vocabulary) {
  std::vector<bool> special(vocabulary.tokens.size());
  for (const AddedToken& token : vocabulary.added)
    special[static_cast<size_t>(token.id)] = token.special;
  return special;
}

uint32_t next_serial() {
  static std::atomic<uint32_t> last = 0;
  return ++last;
}

}  // namespace

Tokenizer::Impl::Impl(Vocabulary from)
    : vocabulary(std::move(from)),
      merger(vocabulary),
      added(vocabulary.added),
      special(special_of(vocabulary)),
      hash(hash_of(vocabulary)),
      serial(next_serial()) {}

void Tokenizer::Impl::encode(std::string_view text, std::vector<int32_t>& ids, bool special) const {
  if (!special) return encode_ordinary(text, ids);
  added.divide(
      text, [&](std::string_view stretch) { encode_ordinary(stretch, ids); },
      [&](int32_t id) { ids.push_back(id); });
}

void Tokenizer::Impl::encode_ordinary(std::string_view text, std::vector<int32_t>& ids) const {
  PieceCache& cache = PieceCache::of_thread();
  for (size_t at = 0, end; at < text.size(); at = end) {
    end = piece_end(text, at);
    if (end - at > PieceCache::kLongest) {
      merger.merge(text.substr(at, end - at), ids);
      continue;
    }
    const PieceCache::Key key = PieceCache::key(text, at, end - at);
    const auto [entry, known] = cache.find(key, serial);
    if (known) {
      ids.push_back(entry->ids[0]);
      for (uint32_t i = 1; i < entry->count; ++i) ids.push_back(entry->ids[i]);
      continue;
    }
    const size_t before = ids.size();
    merger.merge(text.substr(at, end - at), ids);
    const size_t count = ids.size() - before;
    if (count > PieceCache::kMostIds) continue;
    entry->key = key;
    entry->serial = serial;
    entry->count = static_cast<uint32_t>(count);
    std::copy(ids.begin() + static_cast<std::ptrdiff_t>(before), ids.end(), entry->ids.begin());
  }
}

}  // namespace pointwork
