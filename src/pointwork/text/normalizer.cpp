#include "pointwork/text/normalizer.h"

#include <array>
#include <span>

#include "pointwork/base/check.h"
#include "pointwork/files/hash.h"
#include "pointwork/text/base64.h"

namespace pointwork {
namespace {

// Text that ends where its length says, so that settings in a row cannot be read otherwise.
std::string counted(const std::string& text) { return concat(text.size(), ':', text, ' '); }

std::string stripped(std::string text, bool left, bool right) {
  if (right) text.resize(text.size() - white_space_after(text));
  if (left) text.erase(0, white_space_before(text));
  return text;
}

}  // namespace

std::string replaced(std::string_view text, const Pattern& pattern, const std::string& content) {
  std::string out;
  size_t from = 0;
  pattern.each(text, [&](Pattern::Match match) {
    out += text.substr(from, match.begin - from);
    out += content;
    from = match.end;
  });
  out += text.substr(from);
  return out;
}

Pattern read_pattern(const Settings& given, std::string& meaning) {
  const Settings pattern = given.object("pattern");
  pattern.only_keys({"String", "Regex"});
  const bool literal = pattern.has("String");
  const std::string text = pattern.text(literal ? "String" : "Regex");
  meaning += (literal ? "String " : "Regex ") + counted(text);
  if (text.empty()) given.refuse("an empty pattern is not supported");
  try {
    return literal ? Pattern::literal(text) : Pattern::regex(text);
  } catch (const Error& error) {
    given.refuse(error.what());
  }
}

Normalizer::Normalizer(const Settings& given) { add(given); }

void Normalizer::add(const Settings& given) {
  const std::string type = given.type();
  if (type == "Sequence") {
    given.only_keys({"type", "normalizers"});
    for (const Settings& one : given.list("normalizers")) add(one);
    return;
  }
  meaning_ += type + ' ';
  constexpr std::array<std::pair<const char*, NormalForm>, 4> kForms = {
      {{"NFC", NormalForm::kNfc},
       {"NFD", NormalForm::kNfd},
       {"NFKC", NormalForm::kNfkc},
       {"NFKD", NormalForm::kNfkd}}};
  for (const auto& [name, form] : kForms) {
    if (type != name) continue;
    given.only_keys({"type"});
    steps_.emplace_back(form);
    return;
  }
  if (type == "Lowercase") {
    given.only_keys({"type"});
    steps_.emplace_back(Lowercase{});
  } else if (type == "Prepend") {
    given.only_keys({"type", "prepend"});
    steps_.emplace_back(Prepend{given.text("prepend")});
    meaning_ += counted(given.text("prepend"));
  } else if (type == "Replace") {
    given.only_keys({"type", "pattern", "content"});
    Pattern pattern = read_pattern(given, meaning_);
    steps_.emplace_back(Replace{std::move(pattern), given.text("content")});
    meaning_ += counted(given.text("content"));
  } else if (type == "Strip") {
    given.only_keys({"type", "strip_left", "strip_right"});
    const Strip strip{given.flag("strip_left"), given.flag("strip_right")};
    steps_.emplace_back(strip);
    meaning_ += concat(strip.left, strip.right, ' ');
  } else if (type == "Precompiled") {
    given.only_keys({"type", "precompiled_charsmap"});
    const std::optional<std::string> blob = from_base64(given.text("precompiled_charsmap"));
    if (!blob) given.refuse("precompiled_charsmap is not base64");
    try {
      steps_.emplace_back(Precompiled{std::make_shared<const CharsMap>(*blob)});
    } catch (const Error& error) {
      given.refuse(error.what());
    }
    Hasher hasher;
    hasher.update(std::as_bytes(std::span(*blob)));
    meaning_ += hasher.digest() + ' ';
  } else {
    given.refuse(type,
                 " is not supported, only NFC, NFD, NFKC, NFKD, Lowercase, Prepend, "
                 "Replace, Strip, Precompiled and Sequence");
  }
}

std::string Normalizer::operator()(std::string text) const {
  for (const Step& step : steps_) {
    if (const auto* form = std::get_if<NormalForm>(&step)) {
      text = normal_form(text, *form);
    } else if (const auto* prepend = std::get_if<Prepend>(&step)) {
      if (!text.empty()) text.insert(0, prepend->text);
    } else if (const auto* replace = std::get_if<Replace>(&step)) {
      text = replaced(text, replace->pattern, replace->content);
    } else if (const auto* strip = std::get_if<Strip>(&step)) {
      text = stripped(std::move(text), strip->left, strip->right);
    } else if (std::holds_alternative<Lowercase>(step)) {
      text = lowercase(text);
    } else {
      text = std::get<Precompiled>(step).map->replace_in_clusters(text);
    }
  }
  return text;
}

std::shared_ptr<const CharsMap> Normalizer::charsmap() const {
  std::shared_ptr<const CharsMap> found;
  for (const Step& step : steps_) {
    if (const auto* precompiled = std::get_if<Precompiled>(&step)) found = precompiled->map;
  }
  return found;
}

}  // namespace pointwork
