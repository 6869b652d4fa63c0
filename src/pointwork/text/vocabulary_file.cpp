#include "pointwork/text/vocabulary_file.h"

#include <algorithm>
#include <unordered_map>

#include "pointwork/base/check.h"

namespace pointwork {
namespace {

using Json = nlohmann::json;

// Judges a file; every message begins with its name.
class Reader {
 public:
  Reader(const TokenizerFile& file, const std::string& source, const BytesOf& bytes_of)
      : file_(file), source_(source), where_(source + ": "), bytes_of_(bytes_of) {}

  Vocabulary read() {
    read_added();
    read_tokens();
    read_merges();
    return std::move(vocabulary_);
  }

 private:
  void read_added() {
    const auto added = file_.settings.find("added_tokens");
    if (added == file_.settings.end()) return;
    if (!added->is_array()) fail(where_, "added_tokens must be a list, found ", shown(*added));
    for (const Json& one : *added) {
      const Settings given(one, "an added token", source_);
      const Json& content = given.at("content");
      if (!content.is_string() || content.get_ref<const std::string&>().empty())
        fail(where_, "an added token's content must be text, found ", shown(content));
      add(Settings(one, concat("added token ", shown(content)), source_));
    }
    std::sort(vocabulary_.added.begin(), vocabulary_.added.end(),
              [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  }

  void add(const Settings& given) {
    given.only_keys({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    const Json& id = given.at("id");
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= kMostTokens)
      given.refuse("its id must be a whole number below ", kMostTokens, ", found ", shown(id));
    const AddedToken token{.id = id.get<int32_t>(),
                           .content = given.text("content"),
                           .special = given.flag("special", false),
                           .normalized = given.flag("normalized", true),
                           .single_word = given.flag("single_word", false),
                           .lstrip = given.flag("lstrip", false),
                           .rstrip = given.flag("rstrip", false)};
    if (!added_.emplace(token.content, token.id).second)
      fail(where_, given.name(), " is there twice");
    vocabulary_.added.push_back(token);
  }

  void place(int32_t id, const std::string& token, std::string bytes) {
    const auto i = static_cast<size_t>(id);
    if (i >= taken_.size())
      fail(where_, "token ", shown(token), " has id ", id, ", but there are ", taken_.size(),
           " tokens, and ids must be 0 to ", taken_.size() - 1);
    if (taken_[i]) fail(where_, "id ", id, " is given twice, once to ", shown(token));
    taken_[i] = true;
    vocabulary_.tokens[i] = std::move(bytes);
  }

  void read_tokens() {
    size_t size = file_.vocab.size();
    for (const auto& [content, id] : added_) size += !file_.vocab.contains(content);
    taken_.resize(size);
    vocabulary_.tokens.resize(size);
    for (const auto& [token, id] : file_.vocab) {
      if (const auto found = added_.find(token); found != added_.end()) {
        if (found->second != id)
          fail(where_, "added token ", shown(token), " has id ", found->second,
               ", but the vocabulary gives it ", id);
        continue;
      }
      std::optional<std::string> bytes = bytes_of_(token);
      if (!bytes)
        fail(where_, "token ", shown(token), " (id ", id,
             ") does not stand for bytes, as in a byte-level BPE");
      place(id, token, std::move(*bytes));
    }
    for (const AddedToken& token : vocabulary_.added) place(token.id, token.content, token.content);
  }

  void read_merges() {
    const auto id_of = [&](const std::string& token) {
      const auto found = file_.vocab.find(token);
      if (found == file_.vocab.end())
        fail(where_, "merge ", vocabulary_.merges.size(), " joins ", shown(token),
             ", which the vocabulary lacks");
      return found->second;
    };
    vocabulary_.merges.reserve(file_.merges.size());
    for (const auto& [left, right] : file_.merges) {
      const int32_t a = id_of(left), b = id_of(right);
      vocabulary_.merges.emplace_back(a, b);
    }
  }

  const TokenizerFile& file_;
  const std::string source_, where_;
  const BytesOf& bytes_of_;
  Vocabulary vocabulary_;
  std::unordered_map<std::string, int32_t> added_;
  std::vector<bool> taken_;
};

}  // namespace

Vocabulary read_vocabulary(const TokenizerFile& file, const std::string& source,
                           const BytesOf& bytes_of) {
  return Reader(file, source, bytes_of).read();
}

}  // namespace pointwork
