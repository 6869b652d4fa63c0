#include <nlohmann/json.hpp>

#include "pointwork/base/check.h"
#include "pointwork/text/stand_in.h"
#include "pointwork/text/tokenizer_parts.h"

namespace pointwork {
namespace {

std::string as_json(const std::string& text) { return nlohmann::json(text).dump(); }

}  // namespace

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
