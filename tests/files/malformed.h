#pragma once
// Files that are almost safetensors, each with the reason for which it is refused.

#include <cstdint>
#include <string>
#include <vector>

#include "pointwork/base/check.h"

namespace pointwork::test {

inline std::string length_of(uint64_t length) {
  return std::string(reinterpret_cast<const char*>(&length), 8);
}

inline std::string file(const std::string& header, const std::string& data = "") {
  return length_of(header.size()) + header + data;
}

inline std::string entry(const std::string& shape, const std::string& offsets,
                         const std::string& dtype = "\"U8\"") {
  return "{\"dtype\":" + dtype + ",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

// One tensor 'x' and its data.
inline std::string one(const std::string& value, const std::string& data = "data") {
  return file("{\"x\":" + value + "}", data);
}

inline std::string sized(const std::string& shape, const std::string& dtype = "\"U8\"") {
  return one(entry(shape, "[0,4]", dtype));
}

inline std::string placed(const std::string& offsets) { return one(entry("[4]", offsets)); }

// Tensors a, b, c … of one byte each at the given offsets.
inline std::string laid(const std::vector<uint64_t>& begins, const std::string& data) {
  std::string header = "{";
  for (size_t i = 0; i < begins.size(); ++i) {
    header += concat(i ? "," : "", "\"", static_cast<char>('a' + i),
                     "\":", entry("[1]", concat("[", begins[i], ",", begins[i] + 1, "]")));
  }
  return file(header + "}", data);
}

inline std::string many(int count, bool alias) {
  std::string header = "{";
  for (int i = 0; i < count; ++i) {
    const int at = alias ? 0 : i;
    header += concat(i ? "," : "", "\"", i, "\":", entry("[1]", concat("[", at, ",", at + 1, "]")));
  }
  return file(header + "}", "d");
}

inline std::string nested(int deep) {
  return file("{\"__metadata__\":" + std::string(static_cast<size_t>(deep) - 1, '[') +
              std::string(static_cast<size_t>(deep) - 1, ']') + "}");
}

struct Malformed {
  const char* name;
  std::string content;
  const char* reason;
};

inline std::vector<Malformed> malformed() {
  const std::string good = entry("[4]", "[0,4]");
  const std::string not_json = "its header is not valid JSON";
  const std::string end = "its header must end with '}' and spaces alone";
  const std::string begin = "not a safetensors file: its header must begin with '{'";
  const std::string keys = "must have exactly dtype, shape and data_offsets";
  const std::string whole = "must be a whole number of at least 0, found ";
  const std::string count = "its shape has more elements than can be counted";
  const std::string cut = "not a safetensors file, or cut short: its header would have ";
  static std::vector<std::string> kept;
  kept.reserve(200);
  const auto keep = [](const std::string& text) { return kept.emplace_back(text).c_str(); };
  return {
      {"empty", "", "it has 0 bytes, fewer than the 8 of a header's length"},
      {"seven bytes", "1234567", "it has 7 bytes, fewer than the 8"},
      {"no header", length_of(0), keep(begin)},
      {"header one byte longer than the file", length_of(3) + "{}", keep(cut + "3 bytes")},
      {"header of the greatest length", length_of(UINT64_MAX) + "{}", keep(cut + "18446744073")},
      {"8 + length wraps to 0", length_of(UINT64_MAX - 7) + "{}", keep(cut + "18446744073")},
      {"8 + length wraps to the file", length_of(UINT64_MAX - 5) + "{}", keep(cut + "1844674407")},
      {"length with the highest bit", length_of(uint64_t{1} << 63) + "{}", keep(cut + "92233720")},
      {"length of 100 MB in a small file", length_of(100'000'000) + "{}", keep(cut + "100000000")},
      {"length in big-endian", std::string("\0\0\0\0\0\0\0\2{}", 10), keep(cut)},
      {"header above 16 MiB", file("{}" + std::string(1 << 24, ' ')), "more than 16777216"},
      {"text", "Once upon a time there was a file.", keep(cut)},
      {"a zip, as torch.save writes", std::string("PK\3\4\0\0\10\10\0\0\0\0", 12), keep(cut)},
      {"zeros", std::string(64, '\0'), keep(begin)},
      {"a space before the header", file(" {}"), keep(begin)},
      {"a byte order mark", file("\xEF\xBB\xBF{}"), keep(begin)},
      {"a list", file("[]"), keep(begin)},
      {"a text", file("\"{}\""), keep(begin)},
      {"padded with NUL", file(std::string("{}\0\0", 4)), keep(end)},
      {"padded with line ends", file("{}\n"), keep(end)},
      {"letters after the header", file("{}x"), keep(end)},
      {"header not closed", file("{"), keep(end)},
      {"header closed twice", file("{}}"), keep(not_json)},
      {"two headers", file("{}{}"), keep(not_json)},
      {"a value missing", file("{\"x\":}"), keep(not_json)},
      {"a trailing comma", file("{\"x\":" + good + ",}", "data"), keep(not_json)},
      {"single quotes", file("{'x':1}"), keep(not_json)},
      {"a comment", file("{/* none */}"), keep(not_json)},
      {"a key without quotes", file("{x:1}"), keep(not_json)},
      {"NaN", sized("[NaN]"), keep(not_json)},
      {"a number with a leading zero", sized("[04]"), keep(not_json)},
      {"a hexadecimal number", sized("[0x4]"), keep(not_json)},
      {"a name that is not UTF-8", file("{\"\xff\":" + good + "}", "data"), keep(not_json)},
      {"a name of half a surrogate", file("{\"\\ud800\":" + good + "}", "data"), keep(not_json)},
      {"a line end in a name", file("{\"a\nb\":" + good + "}", "data"), keep(not_json)},
      {"a NUL in the header", file(std::string("{\"a\0b\":1}", 9)), keep(not_json)},
      {"a second header after a NUL",
       file("{\"x\":" + good + "}" + std::string(1, '\0') + "{}", "data"), keep(not_json)},
      {"a tensor twice", file("{\"x\":" + good + ",\"x\":" + good + "}", "data"),
       "its header has the key 'x' twice"},
      {"a tensor twice, spelt otherwise",
       file("{\"x\":" + good + ",\"\\u0078\":" + good + "}", "data"),
       "its header has the key 'x' twice"},
      {"dtype twice",
       one("{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}"),
       "has the key 'dtype' twice"},
      {"metadata twice", file("{\"__metadata__\":{},\"__metadata__\":{}}"),
       "has the key '__metadata__' twice"},
      {"a key of metadata twice", file("{\"__metadata__\":{\"k\":\"\",\"k\":\"\"}}"),
       "has the key 'k' twice"},
      {"nine deep", nested(9), "its header is nested more than 8 deep"},
      {"a million deep", nested(1'000'000), "its header is nested more than 8 deep"},
      {"a million deep and not closed", file("{\"x\":" + std::string(1'000'000, '[') + "}"),
       "its header is nested more than 8 deep"},
      {"metadata is a list", nested(2), "__metadata__ must be a table of texts"},
      {"metadata is null", file("{\"__metadata__\":null}"),
       "__metadata__ must be a table of texts"},
      {"metadata with a number", file("{\"__metadata__\":{\"k\":1}}"),
       "__metadata__.k must be text"},
      {"metadata with null", file("{\"__metadata__\":{\"k\":null}}"),
       "__metadata__.k must be text"},
      {"metadata with a table", file("{\"__metadata__\":{\"k\":{}}}"),
       "__metadata__.k must be text"},
      {"a tensor that is a list", one("[]"), keep(keys)},
      {"a tensor that is null", one("null"), keep(keys)},
      {"a tensor that is a number", one("4"), keep(keys)},
      {"no dtype", one("{\"shape\":[4],\"data_offsets\":[0,4]}"), keep(keys)},
      {"no shape", one("{\"dtype\":\"U8\",\"data_offsets\":[0,4]}"), keep(keys)},
      {"no offsets", one("{\"dtype\":\"U8\",\"shape\":[4]}"), keep(keys)},
      {"one key too many", one(good.substr(0, good.size() - 1) + ",\"more\":1}"), keep(keys)},
      {"one key misspelt", one("{\"dtype\":\"U8\",\"shape\":[4],\"data_offset\":[0,4]}"),
       keep(keys)},
      {"dtype is a number", sized("[4]", "8"), "dtype must be text, found 8"},
      {"dtype is null", sized("[4]", "null"), "dtype must be text, found null"},
      {"an unknown dtype", sized("[1]", "\"F31\""), "tensor 'x': unknown dtype F31"},
      {"a dtype in small letters", sized("[1]", "\"f32\""), "unknown dtype f32"},
      {"an empty dtype", sized("[1]", "\"\""), "unknown dtype"},
      {"shape is a number", sized("4"), "shape must be a list of sizes, found 4"},
      {"shape is null", sized("null"), "shape must be a list of sizes, found null"},
      {"shape is a table", sized("{}"), "shape must be a list of sizes, found {}"},
      {"a negative size", sized("[-4]"), keep("a size " + whole + "-4")},
      {"two negative sizes", sized("[-2,-2]"), keep("a size " + whole + "-2")},
      {"a size of -0", sized("[-0]"), keep("a size " + whole)},
      {"a size with a point", sized("[4.0]"), keep("a size " + whole + "4.0")},
      {"a size with an exponent", sized("[4e0]"), keep("a size " + whole + "4.0")},
      {"a size in quotes", sized("[\"4\"]"), keep("a size " + whole + "\"4\"")},
      {"a size that is a list", sized("[[4]]"), keep("a size " + whole + "[4]")},
      {"a size that is null", sized("[null]"), keep("a size " + whole + "null")},
      {"a size that is true", sized("[true,4]"), keep("a size " + whole + "true")},
      {"a size of 2^63", sized("[9223372036854775808]"), keep(count)},
      {"a size of 2^64 + 4", sized("[18446744073709551620]"), keep("a size " + whole)},
      {"sizes whose product wraps to 4", sized("[4194305,4194305,211106198978564]"), keep(count)},
      {"bits that wrap to 32", sized("[2305843009213693956]"), keep(count)},
      {"sizes that overflow before a 0", sized("[4611686018427387904,4,0]"), keep(count)},
      {"sizes that overflow after a 0", sized("[0,4611686018427387904,4]"), keep(count)},
      {"rank 9", sized("[1,1,1,1,1,1,1,1,4]"), "a list of at most 8 sizes, found 9"},
      {"half a byte", sized("[7]", "\"F4\""), "its 28 bits do not fill whole bytes"},
      {"offsets are a table", placed("{\"0\":0,\"1\":4}"), "must be a list of two offsets"},
      {"one offset", placed("[4]"), "must be a list of two offsets"},
      {"three offsets", placed("[0,4,8]"), "must be a list of two offsets"},
      {"a negative offset", placed("[-4,0]"), keep("an offset " + whole + "-4")},
      {"an offset with a point", placed("[0.0,4]"), keep("an offset " + whole + "0.0")},
      {"an offset in quotes", placed("[0,\"4\"]"), keep("an offset " + whole + "\"4\"")},
      {"offsets reversed", placed("[4,0]"), "its offsets [4, 0] do not hold the 4 bytes"},
      {"offsets too near", placed("[0,3]"), "its offsets [0, 3] do not hold the 4 bytes"},
      {"offsets too far", placed("[0,5]"), "its offsets [0, 5] do not hold the 4 bytes"},
      {"offsets that wrap", placed("[18446744073709551614,2]"), "do not hold the 4 bytes"},
      {"the last offset there is", placed("[18446744073709551611,18446744073709551615]"),
       "tensor 'x' begins at byte 18446744073709551611, but must at 0"},
      {"a hole at the beginning", placed("[4,8]"), "tensor 'x' begins at byte 4, but must at 0"},
      {"a hole between", laid({0, 2}, "abc"), "tensor 'b' begins at byte 2, but must at 1"},
      {"two at one place", laid({0, 0}, "a"), "begins at byte 0, but must at 1"},
      {"two that overlap",
       file("{\"a\":" + entry("[3]", "[0,3]") + ",\"b\":" + entry("[3]", "[2,5]") + "}", "abcde"),
       "tensor 'b' begins at byte 2, but must at 3"},
      {"one within another",
       file("{\"a\":" + entry("[4]", "[0,4]") + ",\"b\":" + entry("[2]", "[1,3]") + "}", "abcd"),
       "tensor 'b' begins at byte 1, but must at 4"},
      {"an empty one out of place",
       file("{\"a\":" + entry("[4]", "[0,4]") + ",\"b\":" + entry("[0]", "[2,2]") + "}", "abcd"),
       "begins at byte 2, but must at 4"},
      {"data cut short", one(good, "dat"), "its tensors have 4 bytes, the file holds 3"},
      {"no data", one(good, ""), "its tensors have 4 bytes, the file holds 0"},
      {"data too long", one(good, "data!"), "its tensors have 4 bytes, the file holds 5"},
      {"data without tensors", file("{}", "d"), "its tensors have 0 bytes, the file holds 1"},
      {"a terabyte declared", one(entry("[1099511627776]", "[0,1099511627776]")),
       "its tensors have 1099511627776 bytes, the file holds 4"},
      {"a name of 513 bytes", file("{\"" + std::string(513, 'n') + "\":" + good + "}", "data"),
       "a tensor's name has 513 bytes, more than 512"},
      {"a name of 10 MB", file("{\"" + std::string(10'000'000, 'n') + "\":" + good + "}", "data"),
       "a tensor's name has 10000000 bytes, more than 512"},
      {"100,000 tensors at one place", many(100'000, true), "begins at byte 0, but must at 1"},
      {"200,000 tensors of one byte of data", many(200'000, false),
       "its tensors have 200000 bytes, the file holds 1"},
  };
}

}  // namespace pointwork::test
