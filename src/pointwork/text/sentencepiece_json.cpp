#include "pointwork/text/sentencepiece_json.h"

#include <algorithm>
#include <span>

#include "pointwork/base/check.h"
#include "pointwork/files/hash.h"
#include "pointwork/text/base64.h"
#include "pointwork/text/normalizer.h"
#include "pointwork/text/settings.h"
#include "pointwork/text/utf8.h"

namespace pointwork {
namespace {

using Json = nlohmann::ordered_json;

Json step(const char* type, Json more = Json::object()) {
  Json all = {{"type", type}};
  all.update(more);
  return all;
}

Json replace(Json pattern, const std::string& content) {
  return step("Replace", {{"pattern", std::move(pattern)}, {"content", content}});
}

Json normalizer_of(const SentencePieces& from) {
  const std::string space(from.space());
  Json steps = Json::array();
  if (!from.charsmap.empty())
    steps.push_back(step("Precompiled", {{"precompiled_charsmap", to_base64(from.charsmap)}}));
  if (from.remove_extra_whitespaces) {
    steps.push_back(replace({{"Regex", "\\A +| +\\z"}}, ""));
    steps.push_back(replace({{"Regex", " {2,}"}}, " "));
  }
  if (from.add_dummy_prefix) steps.push_back(step("Prepend", {{"prepend", space}}));
  if (from.escape_whitespaces) steps.push_back(replace({{"String", " "}}, space));
  return step("Sequence", {{"normalizers", steps}});
}

Json decoder_of(const SentencePieces& from) {
  Json steps = Json::array();
  if (from.escape_whitespaces)
    steps.push_back(replace({{"String", std::string(from.space())}}, " "));
  steps.push_back(step("ByteFallback"));
  steps.push_back(step("Fuse"));
  if (from.add_dummy_prefix)
    steps.push_back(step("Strip", {{"content", " "}, {"start", 1}, {"stop", 0}}));
  return step("Sequence", {{"decoders", steps}});
}

// Every way to make a piece of two, in the order of scores.
Json merges_of(const SentencePieces& from) {
  PieceMap ids;
  for (size_t id = 0; id < from.pieces.size(); ++id)
    ids.add(from.pieces[id].text, static_cast<int32_t>(id));
  std::vector<size_t> order(from.pieces.size());
  for (size_t id = 0; id < order.size(); ++id) order[id] = id;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return from.pieces[a].score > from.pieces[b].score; });
  Json merges = Json::array();
  for (const size_t id : order) {
    if (from.pieces[id].type != PieceType::kNormal) continue;
    const std::string_view text = from.pieces[id].text;
    for (size_t at = utf8_character(text, 0).length; at < text.size();
         at += utf8_character(text, at).length) {
      if (ids.find(text.substr(0, at)) >= 0 && ids.find(text.substr(at)) >= 0)
        merges.push_back({text.substr(0, at), text.substr(at)});
    }
  }
  return merges;
}

Json template_of(const SentencePieces& from) {
  if (from.begin < 0) return nullptr;
  const std::string& name = from.pieces[static_cast<size_t>(from.begin)].text;
  const Json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const Json begin = {{"SpecialToken", {{"id", name}, {"type_id", 0}}}};
  const Json second = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
  return step(
      "TemplateProcessing",
      {{"single", Json::array({begin, text})},
       {"pair", Json::array({begin, text, second})},
       {"special_tokens",
        {{name,
          {{"id", name}, {"ids", Json::array({from.begin})}, {"tokens", Json::array({name})}}}}}});
}

Json model_of(const SentencePieces& from) {
  std::string types;
  Json vocab = from.unigram ? Json::array() : Json::object(), scores = Json::array();
  Json unk = nullptr;
  int32_t id = 0;
  for (const SentencePieces::Piece& piece : from.pieces) {
    types += static_cast<char>('0' + static_cast<int>(piece.type));
    if (piece.type == PieceType::kUnknown) unk = from.unigram ? Json(id) : Json(piece.text);
    if (from.unigram) {
      vocab.push_back({piece.text, piece.score});
    } else {
      vocab[piece.text] = id;
      scores.push_back(piece.score);
    }
    ++id;
  }
  Json rest = {{"types", types},
               {"add_dummy_prefix", from.add_dummy_prefix},
               {"remove_extra_whitespaces", from.remove_extra_whitespaces},
               {"escape_whitespaces", from.escape_whitespaces},
               {"unk_surface", from.unk_surface},
               {"begin", from.begin}};
  if (from.unigram)
    return step("Unigram", {{"unk_id", unk},
                            {"byte_fallback", from.byte_fallback},
                            {"sentencepiece", rest},
                            {"vocab", vocab}});
  rest["scores"] = scores;
  return step("BPE", {{"dropout", nullptr},
                      {"unk_token", unk},
                      {"continuing_subword_prefix", nullptr},
                      {"end_of_word_suffix", nullptr},
                      {"fuse_unk", true},
                      {"byte_fallback", from.byte_fallback},
                      {"ignore_merges", false},
                      {"sentencepiece", rest},
                      {"vocab", vocab},
                      {"merges", merges_of(from)}});
}

std::string meaning_of(const SentencePieces& from) {
  Hasher hasher;
  hasher.update(std::as_bytes(std::span(from.charsmap)));
  for (const SentencePieces::Piece& piece : from.pieces) {
    const std::string one =
        concat(piece.text.size(), ':', piece.text, static_cast<int>(piece.type));
    hasher.update(std::as_bytes(std::span(one)));
    hasher.update(std::as_bytes(std::span(&piece.score, 1)));
  }
  return concat("SentencePiece ", from.unigram, from.byte_fallback, from.add_dummy_prefix,
                from.remove_extra_whitespaces, from.escape_whitespaces, ' ', hasher.digest());
}

bool is_added(const SentencePieces::Piece& piece) {
  return piece.type == PieceType::kControl || piece.type == PieceType::kUserDefined;
}

}  // namespace

std::string to_tokenizer_json(const SentencePieces& from) {
  Json added = Json::array();
  for (size_t id = 0; id < from.pieces.size(); ++id) {
    if (!is_added(from.pieces[id])) continue;
    added.push_back({{"id", id},
                     {"content", from.pieces[id].text},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", from.pieces[id].type == PieceType::kControl}});
  }
  const Json all = {{"version", "1.0"},
                    {"truncation", nullptr},
                    {"padding", nullptr},
                    {"added_tokens", added},
                    {"normalizer", normalizer_of(from)},
                    {"pre_tokenizer", nullptr},
                    {"post_processor", template_of(from)},
                    {"decoder", decoder_of(from)},
                    {"model", model_of(from)}};
  return all.dump(1) + "\n";
}

SentencePieces sentencepieces_of(const TokenizerFile& file, const std::string& source) {
  const Settings all(file.settings, "", source);
  const Settings model = all.object("model"), own = model.object("sentencepiece");
  own.only_keys({"types", "add_dummy_prefix", "remove_extra_whitespaces", "escape_whitespaces",
                 "unk_surface", "begin", "scores"});
  SentencePieces out{.unigram = model.text("type") == "Unigram",
                     .byte_fallback = model.flag("byte_fallback", false),
                     .add_dummy_prefix = own.flag("add_dummy_prefix"),
                     .remove_extra_whitespaces = own.flag("remove_extra_whitespaces"),
                     .escape_whitespaces = own.flag("escape_whitespaces"),
                     .unk_surface = own.text("unk_surface")};
  if (all.has("normalizer")) {
    if (const auto map = Normalizer(all.object("normalizer")).charsmap())
      out.charsmap = map->blob();
  }
  std::vector<double> scores = file.scores;
  if (!out.unigram) {
    for (const nlohmann::json& score : own.at("scores")) {
      if (!score.is_number()) own.refuse("a score must be a number, found ", shown(score));
      scores.push_back(score.get<double>());
    }
  }
  const std::string types = own.text("types");
  if (types.size() != file.vocab.size() || scores.size() != file.vocab.size())
    own.refuse("there are ", file.vocab.size(), " tokens, but ", types.size(), " types and ",
               scores.size(), " scores");
  out.pieces.resize(types.size());
  for (const auto& [text, id] : file.vocab) {
    const auto i = static_cast<size_t>(id);
    if (i >= types.size()) own.refuse("token ", shown(text), " has id ", id);
    if (types[i] < '1' || types[i] > '6') own.refuse("type ", types[i], " is not known");
    out.pieces[i] = {text, static_cast<float>(scores[i]), static_cast<PieceType>(types[i] - '0')};
  }
  const nlohmann::json& begin = own.at("begin");
  if (!begin.is_number_integer() || begin.get<int64_t>() < -1 ||
      begin.get<int64_t>() >= static_cast<int64_t>(types.size()))
    own.refuse("begin must be an id or -1, found ", shown(begin));
  out.begin = begin.get<int32_t>();
  return out;
}

TokenizerParts sentencepiece_parts(const SentencePieces& from, std::string json) {
  check_pieces(from);
  TokenizerParts parts;
  Vocabulary& vocabulary = parts.vocabulary;
  int32_t unk = -1;
  for (const SentencePieces::Piece& piece : from.pieces) {
    if (piece.type == PieceType::kUnknown) unk = static_cast<int32_t>(vocabulary.tokens.size());
    const AddedToken token{.id = static_cast<int32_t>(vocabulary.tokens.size()),
                           .content = piece.text,
                           .special = piece.type == PieceType::kControl};
    vocabulary.tokens.push_back(sentencepiece_bytes(from, piece));
    if (piece.type == PieceType::kControl) vocabulary.added.push_back(token);
  }
  parts.normalize = sentencepiece_normalizer(from);
  SentencePieceModel model = sentencepiece_model(from);
  parts.model = std::move(model.model);
  if (model.may_cut) parts.pre_tokenizer.cut_before(std::string(from.space()));
  if (from.begin >= 0) parts.bounds.before.push_back(from.begin);
  parts.start = {.times = from.remove_extra_whitespaces ? SIZE_MAX
                          : from.add_dummy_prefix       ? size_t{1}
                                                        : size_t{0},
                 .by_token = true,
                 .whole = unk};
  parts.meaning = meaning_of(from);
  parts.json = std::move(json);
  return parts;
}

}  // namespace pointwork
