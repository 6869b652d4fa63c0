#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/text/normalizer.h"
#include "pointwork/text/pair_model.h"
#include "pointwork/text/sentencepiece_json.h"
#include "pointwork/text/stand_in.h"
#include "pointwork/text/tokenizer_file.h"
#include "pointwork/text/tokenizer_parts.h"
#include "pointwork/text/unigram_model.h"
#include "pointwork/text/vocabulary_file.h"

namespace pointwork {
namespace {

using Json = nlohmann::json;

class Reader {
 public:
  Reader(TokenizerFile file, const std::string& source)
      : file_(std::move(file)),
        source_(source),
        all_(whole(file_.settings, source)),
        model_(all_.object("model")) {}

  TokenizerParts read() {
    all_.only_keys({"version", "truncation", "padding", "added_tokens", "normalizer",
                    "pre_tokenizer", "post_processor", "decoder", "model"});
    all_.only_values("version", {"1.0"});
    all_.only_values("truncation", {nullptr});
    all_.only_values("padding", {nullptr});
    const std::string type = model_.text("type", "BPE");  // old files have none
    if (type != "BPE" && type != "Unigram")
      model_.refuse(type, " is not supported, only BPE and Unigram");
    if (model_.has("sentencepiece")) {
      const SentencePieces pieces = sentencepieces_of(file_, source_);
      named([&] { parts_ = sentencepiece_parts(pieces, ""); });
      return std::move(parts_);
    }
    read_pipeline();
    if (type == "BPE") {
      read_pairs();
    } else {
      read_unigram();
    }
    if (all_.has("post_processor"))
      parts_.bounds = read_bounds(all_.object("post_processor"),
                                  static_cast<int64_t>(parts_.vocabulary.tokens.size()));
    return std::move(parts_);
  }

 private:
  static Settings whole(const Json& settings, const std::string& source) {
    if (!settings.is_object() || !settings.contains("model"))
      fail(source, ": has no model, so it is no tokenizer.json");
    return Settings(settings, "", source);
  }

  void read_pipeline() {
    std::string meaning;
    if (all_.has("normalizer")) {
      Normalizer normalizer(all_.object("normalizer"));
      meaning += "normalizer " + normalizer.meaning();
      if (!normalizer.empty()) parts_.normalize = std::move(normalizer);
    }
    if (all_.has("pre_tokenizer"))
      parts_.pre_tokenizer = PreTokenizer(all_.object("pre_tokenizer"));
    if (!all_.has("decoder"))
      fail(source_, ": decoder none is not supported: tokens would be joined by spaces");
    decoder_.emplace(all_.object("decoder"));
    if (decoder_->byte_level() != parts_.pre_tokenizer.byte_level())
      fail(source_,
           ": a ByteLevel pre_tokenizer and a ByteLevel decoder belong together, found "
           "only the ",
           decoder_->byte_level() ? "decoder" : "pre_tokenizer");
    parts_.start = decoder_->start();
    parts_.meaning = concat(meaning, "pre_tokenizer ", parts_.pre_tokenizer.meaning(), "decoder ",
                            decoder_->meaning());
  }

  bool byte_level() const { return parts_.pre_tokenizer.byte_level(); }

  void read_tokens() {
    parts_.vocabulary = read_vocabulary(
        file_, source_, [&](const std::string& token) -> std::optional<std::string> {
          if (!byte_level()) return decoder_->bytes_of(token);
          std::optional<std::string> bytes = from_stand_ins(token);
          return bytes && bytes->empty() ? std::nullopt : bytes;
        });
    for (const AddedToken& token : parts_.vocabulary.added) {
      if (token.single_word || token.lstrip || token.rstrip)
        parts_.meaning += concat(token.id, token.single_word, token.lstrip, token.rstrip, ' ');
    }
  }

  Pieces pieces() const { return {file_.vocab.begin(), file_.vocab.end()}; }

  int32_t unknown_of(const std::string& key) const {
    if (!model_.has(key.c_str())) return -1;
    const std::string token = model_.text(key.c_str());
    const auto found = file_.vocab.find(token);
    return found == file_.vocab.end() ? -1 : found->second;
  }

  void read_pairs() {
    model_.only_keys({"type", "dropout", "unk_token", "continuing_subword_prefix",
                      "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges", "vocab",
                      "merges"});
    model_.only_values("dropout", {nullptr});
    model_.only_values("continuing_subword_prefix", {"", nullptr});
    model_.only_values("end_of_word_suffix", {"", nullptr});
    if (!file_.has_vocab) fail(source_, ": model.vocab must be an object of token: id");
    if (!file_.has_merges) fail(source_, ": model.merges must be a list of pairs of tokens");
    const PairOptions options{.ignore_merges = model_.flag("ignore_merges", false),
                              .byte_fallback = model_.flag("byte_fallback", false),
                              .fuse_unk = model_.flag("fuse_unk", false),
                              .unk = unknown_of("unk_token")};
    read_tokens();
    named([&] {
      if (byte_level()) {
        parts_.model = byte_pairs(parts_.vocabulary, options);
        return;
      }
      CharacterPairs pairs = character_pairs(pieces(), parts_.vocabulary.merges, options);
      parts_.model = std::move(pairs.model);
      if (pairs.may_cut) parts_.pre_tokenizer.cut_before(std::string(kWordMark));
    });
    parts_.plain = parts_.pre_tokenizer.plain() && !parts_.normalize && !options.ignore_merges;
    for (const AddedToken& token : parts_.vocabulary.added)
      parts_.plain &= !token.single_word && !token.lstrip && !token.rstrip;
    if (parts_.plain) {
      parts_.meaning.clear();
    } else {
      parts_.meaning += concat("BPE ", options.ignore_merges, options.byte_fallback,
                               options.fuse_unk, ' ', options.unk);
    }
  }

  void read_unigram() {
    model_.only_keys({"type", "unk_id", "byte_fallback", "vocab"});
    if (byte_level()) model_.refuse("Unigram with ByteLevel is not supported");
    if (!file_.has_scores) fail(source_, ": model.vocab must be a list of [token, score]");
    UnigramOptions options{.byte_fallback = model_.flag("byte_fallback", false)};
    if (model_.has("unk_id")) {
      const Json& unk = model_.at("unk_id");
      if (!unk.is_number_unsigned() || unk.get<uint64_t>() >= file_.vocab.size())
        model_.refuse("unk_id = ", shown(unk), ", but there are ", file_.vocab.size(), " tokens");
      options.unk = unk.get<int32_t>();
    }
    read_tokens();
    std::vector<UnigramPiece> all;
    PieceMap by_name;
    for (const auto& [text, id] : file_.vocab) {
      if (text.empty()) fail(source_, ": token ", id, " is empty");
      all.push_back({text, id, file_.scores[static_cast<size_t>(id)]});
      by_name.add(text, id);
    }
    std::sort(all.begin(), all.end(),
              [](const UnigramPiece& a, const UnigramPiece& b) { return a.id < b.id; });
    parts_.meaning += concat("Unigram ", options.unk, options.byte_fallback, ' ');
    for (const double score : file_.scores) parts_.meaning += concat(score, ' ');
    parts_.model = unigram(all, std::move(by_name), options);
  }

  // Errors of parts begin with the file's name.
  template <class Work>
  void named(const Work& work) const {
    try {
      work();
    } catch (const Error& error) {
      fail(source_, ": ", error.what());
    }
  }

  const TokenizerFile file_;
  const std::string source_;
  const Settings all_, model_;
  std::optional<Decoder> decoder_;
  TokenizerParts parts_;
};

}  // namespace

TokenizerParts plain_parts(Vocabulary vocabulary) {
  TokenizerParts parts;
  parts.model = byte_pairs(vocabulary);
  parts.vocabulary = std::move(vocabulary);
  parts.plain = true;
  return parts;
}

TokenizerParts parse_tokenizer_json(std::string_view json, const std::string& source) {
  TokenizerParts parts = Reader(read_tokenizer_file(json, source), source).read();
  parts.json = json;
  return parts;
}

}  // namespace pointwork
