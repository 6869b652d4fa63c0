#include "pointwork/text/tokenizer_impl.h"

#include <algorithm>
#include <atomic>

#include "pointwork/files/hash.h"
#include "pointwork/text/piece_cache.h"
#include "pointwork/text/split.h"
#include "pointwork/text/utf8.h"

namespace pointwork {
namespace {

// What ids mean, as bytes: each token with its length and kind, then the merges by rank, then
// what else there is to a tokenizer that is not plain.
std::string hash_of(const Vocabulary& vocabulary, const std::string& meaning) {
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
  hasher.update(std::as_bytes(std::span(meaning)));
  return hasher.digest();
}

std::vector<bool> special_of(const Vocabulary& vocabulary) {
  std::vector<bool> special(vocabulary.tokens.size());
  for (const AddedToken& token : vocabulary.added)
    special[static_cast<size_t>(token.id)] = token.special;
  return special;
}

std::vector<bool> added_of(const Vocabulary& vocabulary) {
  std::vector<bool> added(vocabulary.tokens.size());
  for (const AddedToken& token : vocabulary.added) added[static_cast<size_t>(token.id)] = true;
  return added;
}

uint32_t next_serial() {
  static std::atomic<uint32_t> last = 0;
  return ++last;
}

}  // namespace

Tokenizer::Impl::Impl(TokenizerParts from)
    : parts(std::move(from)),
      vocabulary(parts.vocabulary),
      added(vocabulary.added, parts.normalize),
      special(special_of(vocabulary)),
      is_added(added_of(vocabulary)),
      hash(hash_of(vocabulary, parts.meaning)),
      serial(next_serial()) {}

void Tokenizer::Impl::encode(std::string_view text, std::vector<int32_t>& ids,
                             EncodeOptions options) const {
  const auto put = [&](const std::vector<int32_t>& some) {
    if (options.bounds) ids.insert(ids.end(), some.begin(), some.end());
  };
  put(parts.bounds.before);
  std::string whole;
  if (!parts.plain && !is_utf8(text)) {
    whole = mended(text);
    text = whole;
  }
  added.divide(
      text, options.special,
      [&](std::string_view stretch, bool first) { encode_stretch(stretch, first, ids); },
      [&](int32_t id) { ids.push_back(id); });
  put(parts.bounds.after);
}

void Tokenizer::Impl::encode_stretch(std::string_view text, bool first,
                                     std::vector<int32_t>& ids) const {
  PieceCache& cache = PieceCache::of_thread();
  const auto look_up = [&](std::string_view within, size_t at, size_t length) {
    if (length > PieceCache::kLongest) return parts.model->encode(within.substr(at, length), ids);
    const PieceCache::Key key = PieceCache::key(within, at, length);
    const auto [entry, known] = cache.find(key, serial);
    if (known) {
      ids.push_back(entry->ids[0]);
      for (uint32_t i = 1; i < entry->count; ++i) ids.push_back(entry->ids[i]);
      return;
    }
    const size_t before = ids.size();
    parts.model->encode(within.substr(at, length), ids);
    const size_t count = ids.size() - before;
    if (count == 0 || count > PieceCache::kMostIds) return;
    entry->key = key;
    entry->serial = serial;
    entry->count = static_cast<uint32_t>(count);
    std::copy(ids.begin() + static_cast<std::ptrdiff_t>(before), ids.end(), entry->ids.begin());
  };
  if (!parts.plain) {
    parts.pre_tokenizer.divide(text, first,
                               [&](std::string_view piece) { look_up(piece, 0, piece.size()); });
    return;
  }
  for (size_t at = 0, end; at < text.size(); at = end) {
    end = piece_end(text, at);
    look_up(text, at, end - at);
  }
}

std::string Tokenizer::Impl::decode(std::span<const int32_t> ids, bool skip_special) const {
  const TextStart& start = parts.start;
  std::string text;
  size_t times = start.times;
  bool first = true;  // no token yet that counts
  for (const int32_t id : ids) {
    const auto i = static_cast<size_t>(id);
    if (skip_special && special[i]) continue;
    std::string_view bytes = vocabulary.tokens[i];
    if (first && start.by_token && special[i]) {
      text += bytes;
      continue;
    }
    if (first && start.by_token && times > 0 && id != start.whole &&
        bytes.starts_with(start.strip)) {
      bytes.remove_prefix(start.strip.size());
      --times;
    }
    if (first && start.unspaced && !is_added[i]) {
      for (const char c : bytes) {
        if (c != ' ') text += c;
      }
    } else {
      text += bytes;
    }
    first = first && start.by_token && bytes.empty();
  }
  if (start.by_token) return text;
  size_t end = 0;
  for (; times > 0 && text.compare(end, start.strip.size(), start.strip) == 0; --times)
    end += start.strip.size();
  return end == 0 ? text : text.substr(end);
}

}  // namespace pointwork
