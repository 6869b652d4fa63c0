#include "pointwork/text/bounds.h"

#include "pointwork/text/tokenizer_file.h"

namespace pointwork {
namespace {

class Reader {
 public:
  explicit Reader(int64_t vocab_size) : vocab_size_(vocab_size) {}

  void add(const Settings& given) {
    const std::string type = given.type();
    if (type == "Sequence") {
      given.only_keys({"type", "processors"});
      for (const Settings& one : given.list("processors")) add(one);
    } else if (type == "TemplateProcessing") {
      add_template(given);
    } else if (type != "ByteLevel") {
      given.refuse(type, " is not supported, only TemplateProcessing, ByteLevel and Sequence");
    }
  }

  Bounds bounds;

 private:
  void add_template(const Settings& given) {
    given.only_keys({"type", "single", "pair", "special_tokens"});
    if (any_) given.refuse("TemplateProcessing twice is not supported");
    any_ = true;
    bool text = false;
    for (const Settings& piece : given.list("single")) {
      piece.only_keys({"SpecialToken", "Sequence"});
      if (piece.has("Sequence")) {
        if (text) given.refuse("a template with the text twice is not supported");
        text = true;
        continue;
      }
      const std::string name = piece.object("SpecialToken").text("id");
      auto& side = text ? bounds.after : bounds.before;
      for (const int32_t id : ids_of(given, name)) side.push_back(id);
    }
    if (!text) given.refuse("a template without the text is not supported");
  }

  std::vector<int32_t> ids_of(const Settings& given, const std::string& name) const {
    const Settings all = given.object("special_tokens");
    const Settings::Json& ids = all.object(name.c_str()).at("ids");
    if (!ids.is_array()) given.refuse("the ids of ", shown(name), " must be a list");
    std::vector<int32_t> found;
    for (const Settings::Json& id : ids) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= vocab_size_)
        given.refuse(shown(name), " has id ", shown(id), ", but ids are 0 to ", vocab_size_ - 1);
      found.push_back(id.get<int32_t>());
    }
    return found;
  }

  const int64_t vocab_size_;
  bool any_ = false;
};

}  // namespace

Bounds read_bounds(const Settings& given, int64_t vocab_size) {
  Reader reader(vocab_size);
  reader.add(given);
  return std::move(reader.bounds);
}

}  // namespace pointwork
