#include "pointwork/text/vocabulary.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "pointwork/base/check.h"
#include "pointwork/text/stand_in.h"
#include "pointwork/text/tokenizer_file.h"

namespace pointwork {
namespace {

using Json = nlohmann::json;

// Judges a file; every message begins with its name.
class Reader {
 public:
  Reader(TokenizerFile file, const std::string& source)
      : file_(std::move(file)), where_(source + ": ") {}

  Vocabulary read() {
    check_settings();
    read_added();
    read_tokens();
    read_merges();
    return std::move(vocabulary_);
  }

 private:
  const Json& member(const Json& object, const std::string& name, const char* key) const {
    if (!object.is_object()) fail(where_, name, " must be an object, found ", shown(object));
    const auto found = object.find(key);
    if (found == object.end()) fail(where_, name, " has no ", key);
    return *found;
  }

  void only_keys(const Json& object, const std::string& name,
                 std::initializer_list<std::string_view> known) const {
    for (const auto& [key, value] : object.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end())
        fail(where_, name.empty() ? "" : name + ": ", shown(key), " is not supported, found ",
             shown(value));
    }
  }

  // A setting that must have one of these values, or be absent.
  void only_values(const Json& object, const std::string& name, const char* key,
                   std::initializer_list<Json> allowed) const {
    const auto found = object.find(key);
    if (found == object.end()) return;
    if (std::find(allowed.begin(), allowed.end(), *found) == allowed.end())
      fail(where_, name.empty() ? "" : name + ": ", key, " = ", shown(*found),
           " is not supported, only ", shown(*allowed.begin()));
  }

  // The type of a part of the pipeline must be one of these; "none": null, or absent.
  void only_types(const char* part, std::initializer_list<std::string_view> allowed) const {
    std::string type = "none";
    if (const auto found = file_.settings.find(part);
        found != file_.settings.end() && !found->is_null()) {
      const Json& given =
          found->is_object() && !found->contains("type") && std::string_view(part) == kModel
              ? Json("BPE")  // as in old files
              : member(*found, part, "type");
      type = given.is_string() ? given.get<std::string>() : shown(given);
    }
    if (std::find(allowed.begin(), allowed.end(), type) == allowed.end())
      fail(where_, part, " ", shown(type), " is not supported, only ",
           shown(std::string(*allowed.begin())));
  }

  void check_settings() const {
    const Json& all = file_.settings;
    if (!all.is_object() || !all.contains(kModel))
      fail(where_, "has no model, so it is no tokenizer.json");
    only_keys(all, "",
              {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
               "post_processor", "decoder", "model"});
    only_values(all, "", "version", {"1.0"});
    only_values(all, "", "truncation", {nullptr});
    only_values(all, "", "padding", {nullptr});
    only_types(kModel, {"BPE"});
    only_types("normalizer", {"none"});
    only_types("pre_tokenizer", {"ByteLevel"});
    only_types("post_processor", {"ByteLevel", "none"});  // it moves offsets, not ids
    only_types("decoder", {"ByteLevel"});
    const Json& split = all["pre_tokenizer"];
    only_keys(split, "pre_tokenizer", {"type", "add_prefix_space", "trim_offsets", "use_regex"});
    member(split, "pre_tokenizer", "add_prefix_space");  // no default
    only_values(split, "pre_tokenizer", "add_prefix_space", {false});
    only_values(split, "pre_tokenizer", "use_regex", {true});
    const Json& model = all[kModel];
    only_keys(model, kModel,
              {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
               "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"});
    // unk_token and fuse_unk mean nothing here, where no byte is unknown.
    only_values(model, kModel, "dropout", {nullptr});
    only_values(model, kModel, "continuing_subword_prefix", {"", nullptr});
    only_values(model, kModel, "end_of_word_suffix", {"", nullptr});
    only_values(model, kModel, "byte_fallback", {false});
    only_values(model, kModel, "ignore_merges", {false});
    if (!file_.has_vocab) fail(where_, "model.vocab must be an object of token: id");
    if (!file_.has_merges) fail(where_, "model.merges must be a list of pairs of tokens");
  }

  void read_added() {
    const auto added = file_.settings.find("added_tokens");
    if (added == file_.settings.end()) return;
    if (!added->is_array()) fail(where_, "added_tokens must be a list, found ", shown(*added));
    for (const Json& one : *added) {
      const Json& content = member(one, "an added token", "content");
      if (!content.is_string() || content.get_ref<const std::string&>().empty())
        fail(where_, "an added token's content must be text, found ", shown(content));
      AddedToken token{.content = content.get<std::string>()};
      const std::string name = concat("added token ", shown(content));
      only_keys(one, name,
                {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
      for (const char* key : {"single_word", "lstrip", "rstrip"})
        only_values(one, name, key, {false});
      only_values(one, name, "normalized", {false, true});
      only_values(one, name, "special", {true, false});
      const Json& id = member(one, name, "id");
      if (!id.is_number_unsigned() || id.get<uint64_t>() >= kMostTokens)
        fail(where_, name, ": its id must be a whole number below ", kMostTokens, ", found ",
             shown(id));
      token.id = id.get<int32_t>();
      token.special = one.value("special", false);
      token.normalized = one.value("normalized", true);
      if (!added_.emplace(token.content, token.id).second) fail(where_, name, " is there twice");
      vocabulary_.added.push_back(std::move(token));
    }
    std::sort(vocabulary_.added.begin(), vocabulary_.added.end(),
              [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
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
      std::optional<std::string> bytes = from_stand_ins(token);
      if (!bytes || bytes->empty())
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

  static constexpr const char* kModel = "model";
  const TokenizerFile file_;
  const std::string where_;
  Vocabulary vocabulary_;
  std::unordered_map<std::string, int32_t> added_;
  std::vector<bool> taken_;
};

std::string as_json(const std::string& text) { return Json(text).dump(); }

}  // namespace

Vocabulary parse_tokenizer_json(std::string_view json, const std::string& source) {
  return Reader(read_tokenizer_file(json, source), source).read();
}

std::string to_tokenizer_json(const Vocabulary& vocabulary) {
  std::vector<std::string> names;  // an added token's content, else the stand-ins of its bytes
  names.reserve(vocabulary.tokens.size());
  for (const std::string& bytes : vocabulary.tokens) names.push_back(to_stand_ins(bytes));
  std::string out = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n";
  out += "  \"added_tokens\": [";
  const auto flag = [](bool value) { return value ? "true" : "false"; };
  for (const AddedToken& token : vocabulary.added) {
    names[static_cast<size_t>(token.id)] = token.content;
    out += concat(&token == vocabulary.added.data() ? "" : ",", "\n    {\"id\": ", token.id,
                  ", \"content\": ", as_json(token.content),
                  ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                  "\"normalized\": ",
                  flag(token.normalized), ", \"special\": ", flag(token.special), "}");
  }
  out += vocabulary.added.empty() ? "],\n" : "\n  ],\n";
  out +=
      "  \"normalizer\": null,\n"
      "  \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
      "\"trim_offsets\": true, \"use_regex\": true},\n"
      "  \"post_processor\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
      "\"trim_offsets\": false, \"use_regex\": true},\n"
      "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": "
      "true, \"use_regex\": true},\n"
      "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
      "    \"continuing_subword_prefix\": \"\",\n    \"end_of_word_suffix\": \"\",\n"
      "    \"fuse_unk\": false,\n    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n"
      "    \"vocab\": {";
  for (size_t id = 0; id < names.size(); ++id) {
    out += id == 0 ? "\n      " : ",\n      ";
    out += as_json(names[id]) + ": " + std::to_string(id);
  }
  out += "\n    },\n    \"merges\": [";
  for (size_t rank = 0; rank < vocabulary.merges.size(); ++rank) {
    const auto& [left, right] = vocabulary.merges[rank];
    out += rank == 0 ? "\n      " : ",\n      ";
    // "a b" and not ["a", "b"]: older readers know only this, and no name holds a space.
    out += as_json(names[static_cast<size_t>(left)] + " " + names[static_cast<size_t>(right)]);
  }
  out += "\n    ]\n  }\n}\n";
  return out;
}

}  // namespace pointwork
