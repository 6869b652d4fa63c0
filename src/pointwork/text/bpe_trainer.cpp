#include "pointwork/text/bpe_trainer.h"

#include <algorithm>
#include <array>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include "pointwork/base/check.h"
#include "pointwork/text/piece_counter.h"
#include "pointwork/text/stand_in.h"
#include "pointwork/text/tokenizer_impl.h"

namespace pointwork {
namespace {

constexpr int64_t kBytes = 256;

using Pair = std::pair<int32_t, int32_t>;

uint64_t key_of(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

struct KeyHash {
  size_t operator()(uint64_t key) const {
    key *= 0x9E3779B97F4A7C15u;
    return key ^ key >> 32;
  }
};

// The bytes in the order of their stand-ins, as ids 0 … 255.
std::vector<std::string> byte_tokens() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < kBytes; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  std::sort(tokens.begin(), tokens.end(), [](const std::string& a, const std::string& b) {
    return to_stand_ins(a) < to_stand_ins(b);  // UTF-8 sorts as its code points do
  });
  return tokens;
}

// All pieces as runs of token ids, and where each pair of neighbours stands.
class PairMerger {
 public:
  explicit PairMerger(const PieceCounts& counts) : tokens_(byte_tokens()) {
    std::array<int32_t, kBytes> id_of{};
    for (size_t id = 0; id < tokens_.size(); ++id)
      id_of[static_cast<unsigned char>(tokens_[id][0])] = static_cast<int32_t>(id);
    size_t bytes = 0;
    for (size_t i = 0; i < counts.size(); ++i) bytes += counts.piece(i).size();
    ids_.reserve(bytes);
    for (size_t i = 0; i < counts.size(); ++i) {
      const std::string_view piece = counts.piece(i);
      if (piece.size() < 2) continue;
      words_.push_back({.begin = ids_.size(),
                        .length = static_cast<uint32_t>(piece.size()),
                        .count = static_cast<int64_t>(counts.count(i))});
      for (const char c : piece) ids_.push_back(id_of[static_cast<unsigned char>(c)]);
    }
    for (uint32_t w = 0; w < words_.size(); ++w) {
      const int32_t* at = ids_.data() + words_[w].begin;
      for (uint32_t i = 0; i + 1 < words_[w].length; ++i)
        add(key_of(at[i], at[i + 1]), words_[w].count, w);
    }
    for (const auto& [key, found] : pairs_) queue_.push({found.count, key});
  }

  // Makes the most frequent pair one token; false where there is none.
  bool merge_next() {
    while (!queue_.empty()) {
      const Candidate top = queue_.top();
      queue_.pop();
      const auto found = pairs_.find(top.key);
      if (found == pairs_.end()) continue;
      if (found->second.count != top.count) {  // it has become rarer since
        if (found->second.count > 0) {
          queue_.push({found->second.count, top.key});
        } else {
          pairs_.erase(found);
        }
        continue;
      }
      const std::vector<uint32_t> places = std::move(found->second.words);
      pairs_.erase(found);
      merge(top.key, places);
      return true;
    }
    return false;
  }

  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }

  bool has(const std::string& token) const {
    return std::find(tokens_.begin(), tokens_.end(), token) != tokens_.end();
  }

  Vocabulary take() {
    return {.tokens = std::move(tokens_), .merges = std::move(merges_), .added = {}};
  }

 private:
  struct Word {
    uint64_t begin;  // in ids_
    uint32_t length;
    int64_t count;
  };
  struct Found {
    int64_t count = 0;
    std::vector<uint32_t> words;  // where it stands, or stood
  };
  struct Candidate {
    int64_t count;
    uint64_t key;
    bool operator<(const Candidate& other) const {  // the last is merged first
      return count != other.count ? count < other.count : key > other.key;
    }
  };

  void add(uint64_t key, int64_t count, uint32_t word) {
    Found& found = pairs_[key];
    found.count += count;
    if (found.words.empty() || found.words.back() != word) found.words.push_back(word);
  }

  void add_fresh(int32_t left, int32_t right, int64_t count, uint32_t word) {
    fresh_.push_back(key_of(left, right));
    add(fresh_.back(), count, word);
  }

  void take_away(int32_t left, int32_t right, int64_t count) {
    const auto found = pairs_.find(key_of(left, right));
    if (found != pairs_.end()) found->second.count -= count;
  }

  void merge(uint64_t key, const std::vector<uint32_t>& places) {
    const auto left = static_cast<int32_t>(key >> 32), right = static_cast<int32_t>(key);
    // These bytes are no token yet: what becomes of a stretch whose ends no merge crossed depends
    // on its bytes alone, so it cannot be one token here and two there.
    const auto whole = static_cast<int32_t>(tokens_.size());
    tokens_.push_back(tokens_[static_cast<size_t>(left)] + tokens_[static_cast<size_t>(right)]);
    merges_.emplace_back(left, right);
    for (const uint32_t w : places) merge_in(w, left, right, whole);
    std::sort(fresh_.begin(), fresh_.end());
    fresh_.erase(std::unique(fresh_.begin(), fresh_.end()), fresh_.end());
    for (const uint64_t pair : fresh_) {
      const auto found = pairs_.find(pair);
      if (found != pairs_.end() && found->second.count > 0)
        queue_.push({found->second.count, pair});
    }
    fresh_.clear();
  }

  // From left to right, as encoding does.
  void merge_in(uint32_t w, int32_t left, int32_t right, int32_t whole) {
    Word& word = words_[w];
    int32_t* ids = ids_.data() + word.begin;
    uint32_t to = 0;
    for (uint32_t from = 0; from < word.length; ++to) {
      if (from + 1 < word.length && ids[from] == left && ids[from + 1] == right) {
        if (to > 0) {
          take_away(ids[to - 1], left, word.count);
          add_fresh(ids[to - 1], whole, word.count, w);
        }
        if (from + 2 < word.length) {
          take_away(right, ids[from + 2], word.count);
          add_fresh(whole, ids[from + 2], word.count, w);
        }
        ids[to] = whole;
        from += 2;
      } else {
        ids[to] = ids[from++];
      }
    }
    word.length = to;
  }

  std::vector<std::string> tokens_;
  std::vector<Pair> merges_;
  std::vector<int32_t> ids_;
  std::vector<Word> words_;
  std::unordered_map<uint64_t, Found, KeyHash> pairs_;
  std::vector<uint64_t> fresh_;  // pairs that the merge at hand makes
  std::priority_queue<Candidate> queue_;
};

}  // namespace

struct BpeTrainer::Impl {
  explicit Impl(BpeTrainerOptions given) : options(std::move(given)), counter(options.threads) {}
  BpeTrainerOptions options;
  PieceCounter counter;
  bool any = false;
};

BpeTrainer::BpeTrainer(BpeTrainerOptions options) {
  const int64_t least = kBytes + static_cast<int64_t>(options.special.size());
  check(options.vocab_size >= least && options.vocab_size < (1 << 24), "vocab size must be ", least,
        " (256 bytes and ", options.special.size(), " special) to ", (1 << 24) - 1, ", found ",
        options.vocab_size);
  std::unordered_set<std::string_view> seen;
  for (const std::string& token : options.special)
    check(!token.empty() && seen.insert(token).second, "special token '", token,
          "' is empty or given twice");
  impl_ = std::make_unique<Impl>(std::move(options));
}

BpeTrainer::~BpeTrainer() = default;

void BpeTrainer::push(std::string_view text) {
  impl_->any |= !text.empty();
  impl_->counter.push(text);
}

Tokenizer BpeTrainer::train() {
  check(impl_->any, "there is no text to learn a tokenizer from");
  const BpeTrainerOptions& options = impl_->options;
  PairMerger merger(impl_->counter.finish());
  const int64_t wanted = options.vocab_size - static_cast<int64_t>(options.special.size());
  const auto tell = [&] {
    if (options.progress) options.progress(merger.size() - kBytes, wanted - kBytes);
  };
  tell();
  while (merger.size() < wanted && merger.merge_next()) {
    if (merger.size() % 16 == 0) tell();
  }
  tell();
  for (const std::string& token : options.special)
    check(!merger.has(token), "special token '", token, "' was learnt from the text as well");
  Vocabulary vocabulary = merger.take();
  for (const std::string& token : options.special) {
    vocabulary.added.push_back(
        {.id = static_cast<int32_t>(vocabulary.tokens.size()), .content = token});
    vocabulary.tokens.push_back(token);
  }
  return Tokenizer(std::make_shared<const Tokenizer::Impl>(plain_parts(std::move(vocabulary))));
}

}  // namespace pointwork
