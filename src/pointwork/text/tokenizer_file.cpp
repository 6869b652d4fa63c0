#include "pointwork/text/tokenizer_file.h"

#include <algorithm>

#include "pointwork/base/check.h"

namespace pointwork {
namespace {

using Json = nlohmann::json;

constexpr size_t kDeepest = 16;

class Handler : public nlohmann::json_sax<Json> {
 public:
  explicit Handler(const std::string& source) : where_(source + ": ") {}

  TokenizerFile file;
  size_t wrong_at = 0;  // the byte at which the text stops being JSON

  bool null() override { return value(nullptr); }
  bool boolean(bool given) override { return value(given); }
  bool number_integer(number_integer_t given) override {
    return list_ == kScores ? score(static_cast<double>(given)) : value(given);
  }
  bool number_float(number_float_t given, const string_t&) override {
    return list_ == kScores ? score(given) : value(given);
  }
  bool binary(binary_t&) override { return false; }

  bool number_unsigned(number_unsigned_t given) override {
    if (list_ == kScores) return score(static_cast<double>(given));
    if (list_ != kVocab || depth() != 3) return value(given);
    if (given >= kMostTokens) refuse_id(given);
    if (!file.vocab.emplace(key_, static_cast<int32_t>(given)).second)
      fail(where_, "model.vocab has the token ", shown(key_), " twice");
    return true;
  }

  bool string(string_t& given) override {
    if (list_ == kScores) return scored(std::move(given));
    if (list_ != kMerges) return value(std::move(given));
    if (depth() == 4) {
      pair_.push_back(std::move(given));
      return true;
    }
    const size_t space = given.find(' ');
    if (space == std::string::npos || given.find(' ', space + 1) != std::string::npos)
      refuse_merge(given);
    file.merges.emplace_back(given.substr(0, space), given.substr(space + 1));
    return true;
  }

  bool key(string_t& given) override {
    key_ = std::move(given);
    if (list_ == kNone && open_.back()->contains(key_))
      fail(where_, "the key ", shown(key_), " is there twice");
    return true;
  }

  bool start_object(size_t) override { return start(Json::object()); }
  bool end_object() override { return end(); }

  bool start_array(size_t) override {
    if ((list_ == kMerges || list_ == kScores) && depth() == 3) {
      pair_.clear();
      entry_ = kPiece;
      open_.push_back(nullptr);
      return true;
    }
    return start(Json::array());
  }

  bool end_array() override {
    if (list_ == kScores && depth() == 4 && entry_ != kDone) refuse_score(pair_);
    if (list_ == kMerges && depth() == 4) {
      if (pair_.size() != 2) refuse_merge(pair_);
      file.merges.emplace_back(std::move(pair_[0]), std::move(pair_[1]));
    }
    return end();
  }

  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    wrong_at = position;
    return false;
  }

 private:
  enum List { kNone, kVocab, kScores, kMerges };
  enum Entry { kPiece, kScore, kDone };  // what comes next in an entry of kScores

  size_t depth() const { return open_.size(); }

  [[noreturn]] void refuse_id(const Json& given) const {
    fail(where_, "token ", shown(key_), ": its id must be a whole number below ", kMostTokens,
         ", found ", shown(given));
  }
  [[noreturn]] void refuse_merge(const Json& given) const {
    fail(where_, "merge ", file.merges.size(), " must be two tokens, found ", shown(given));
  }

  [[noreturn]] void refuse_score(const Json& given) const {
    fail(where_, "token ", file.scores.size(), " must be a text and its score, found ",
         shown(given));
  }

  bool scored(std::string given) {
    if (depth() != 4 || entry_ != kPiece) refuse_score(given);
    entry_ = kScore;
    if (file.scores.size() >= kMostTokens) fail(where_, "has more than ", kMostTokens, " tokens");
    const auto id = static_cast<int32_t>(file.scores.size());
    if (!file.vocab.emplace(given, id).second)
      fail(where_, "model.vocab has the token ", shown(given), " twice");
    return true;
  }

  bool score(double given) {
    if (depth() != 4 || entry_ != kScore) refuse_score(given);
    entry_ = kDone;
    file.scores.push_back(given);
    return true;
  }

  bool value(Json given) {
    if (list_ == kScores) refuse_score(given);
    if (list_ == kVocab) refuse_id(given);
    if (list_ == kMerges) refuse_merge(given);
    put(std::move(given));
    return true;
  }

  Json* put(Json given) {
    if (open_.empty()) return &(file.settings = std::move(given));
    Json& parent = *open_.back();
    if (parent.is_object()) return &(parent[key_] = std::move(given));
    parent.push_back(std::move(given));
    return &parent.back();
  }

  bool start(Json container) {
    if (list_ != kNone) value(std::move(container));
    if (depth() >= kDeepest) fail(where_, "is nested too deeply for a tokenizer.json");
    if (depth() == 2 && in_model_ && key_ == "vocab" && container.is_object()) {
      return start_list(kVocab, file.has_vocab);
    }
    if (depth() == 2 && in_model_ && key_ == "vocab" && container.is_array()) {
      return start_list(kScores, file.has_scores);
    }
    if (depth() == 2 && in_model_ && key_ == "merges" && container.is_array()) {
      return start_list(kMerges, file.has_merges);
    }
    if (depth() == 1) in_model_ = container.is_object() && key_ == "model";
    open_.push_back(put(std::move(container)));
    return true;
  }

  bool start_list(List list, bool& has) {
    put(nullptr);  // so that a second one is noticed
    has = true;
    list_ = list;
    open_.push_back(nullptr);
    return true;
  }

  bool end() {
    open_.pop_back();
    if (depth() == 2) list_ = kNone;
    return true;
  }

  const std::string where_;
  std::vector<Json*> open_;  // containers; nullptr: one of the lists
  std::string key_;
  std::vector<std::string> pair_;
  bool in_model_ = false;
  List list_ = kNone;
  Entry entry_ = kDone;
};

}  // namespace

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  constexpr size_t kMost = 60;
  if (text.size() <= kMost) return text;
  size_t end = kMost;
  while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // no half a character
  return text.substr(0, end) + "...";
}

TokenizerFile read_tokenizer_file(std::string_view text, const std::string& source) {
  check(!text.empty(), source, ": is empty, expected a tokenizer.json");
  Handler handler(source);
  const bool valid = Json::sax_parse(text.begin(), text.end(), &handler);
  check(valid, source, ": is not valid JSON (at byte ", std::min(handler.wrong_at, text.size()),
        " of ", text.size(), "), expected a tokenizer.json");
  return std::move(handler.file);
}

}  // namespace pointwork
