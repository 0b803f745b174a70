// Malformed classes that the file reader refuses.
#include "tests/support/malformed.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace lull {
namespace {

using Parts = std::function<void(TestRandom&, RawGguf*)>;
using Bytes = std::function<void(TestRandom&, const RawGguf&, std::string*)>;

constexpr uint32_t kUint32 = 4;
constexpr uint32_t kBool = 7;
constexpr uint32_t kString = 8;
constexpr uint32_t kArray = 9;

TinyModelSpec SmallBase() {
  TinyModelSpec spec;
  spec.type = "Q4_0";
  spec.embd = 32;
  spec.heads = 2;
  spec.layers = 1;
  spec.ffn = 64;
  spec.vocab = 280;
  return spec;
}

class Table {
 public:
  Table(std::string group, std::vector<MalformedClass>* classes) : group_(std::move(group)), classes_(classes) {}
  void Add(const char* name, Parts edit) { Row(name).edit_parts = std::move(edit); }
  void AddBytes(const char* name, Bytes edit) { Row(name).edit_bytes = std::move(edit); }

 private:
  MalformedClass& Row(const char* name) {
    MalformedClass& row = classes_->emplace_back();
    row.name = name;
    row.group = group_;
    row.base = SmallBase();
    return row;
  }
  std::string group_;
  std::vector<MalformedClass>* classes_;
};

template <typename T>
T& Pick(TestRandom& random, std::vector<T>& items) {
  return items[random.Below(items.size())];
}

template <typename T, size_t N>
T OneOf(TestRandom& random, const T (&values)[N]) {
  return values[random.Below(N)];
}

// A length that no file of this size can hold but whose low bits look plausible.
uint64_t TooLong(TestRandom& random, const RawGguf& file) {
  const uint64_t size = file.Serialize().size();
  return OneOf(random, {size, size + random.Below(1000), uint64_t{1} << 31, (uint64_t{1} << 32) + random.Below(64),
                        (uint64_t{1} << 40) + random.Below(64), (uint64_t{1} << 62)});
}

// Close to 2^64, so that an unchecked offset + length comes out small.
uint64_t Wrapping(TestRandom& random) { return ~uint64_t{0} - random.Below(4096); }

RawKey& AddKey(RawGguf* file, TestRandom& random, std::string name, uint32_t type_id, std::string value) {
  const auto at = file->keys.begin() + static_cast<ptrdiff_t>(random.Below(file->keys.size() + 1));
  return *file->keys.insert(at, RawKey{std::move(name), type_id, std::move(value), {}});
}

std::string ArrayOf(uint32_t type_id, uint64_t count, const std::string& elements) {
  return RawBytes(type_id) + RawBytes(count) + elements;
}

void SetAlignment(RawGguf* file, TestRandom& random, uint32_t alignment) {
  AddKey(file, random, "general.alignment", kUint32, RawBytes(alignment));
}

// Two different tensors; the second has its data after the first.
std::pair<RawTensor*, RawTensor*> PickTwo(TestRandom& random, RawGguf* file) {
  const size_t a = random.Below(file->tensors.size() - 1);
  const size_t b = a + 1 + random.Below(file->tensors.size() - a - 1);
  return {&file->tensors[a], &file->tensors[b]};
}

void CutTo(std::string* bytes, uint64_t low, uint64_t high, TestRandom& random) {
  bytes->resize(low + random.Below(high - low));
}

}  // namespace

void AppendMalformedHeaders(std::vector<MalformedClass>* classes) {
  Table table("header", classes);
  table.AddBytes("file_empty", [](TestRandom& r, const RawGguf&, std::string* b) { b->resize(r.Below(4)); });
  table.Add("magic_wrong", [](TestRandom& r, RawGguf* f) { f->magic[r.Below(4)] ^= static_cast<char>(1 + r.Below(255)); });
  table.Add("magic_of_other_format", [](TestRandom& r, RawGguf* f) {
    const std::string others[] = {"ggml", "lmgg", "tjgg", "fmgg", "algg", std::string("PK\3\4"), "FUGG"};
    f->magic = others[r.Below(std::size(others))];
  });
  table.Add("version_one", [](TestRandom&, RawGguf* f) { f->version = 1; });
  table.Add("version_unknown", [](TestRandom& r, RawGguf* f) {
    f->version = OneOf(r, {0u, 4u, 5u, 255u, 256u, 0xffffu, 0x80000001u, 0xffffffffu});
  });
  table.Add("version_big_endian", [](TestRandom& r, RawGguf* f) { f->version = OneOf(r, {0x01000000u, 0x02000000u, 0x03000000u}); });
  table.AddBytes("header_truncated", [](TestRandom& r, const RawGguf&, std::string* b) { CutTo(b, 4, 24, r); });
  table.Add("tensor_count_huge", [](TestRandom& r, RawGguf* f) {
    f->claimed_num_tensors = OneOf(r, {uint64_t{16385}, uint64_t{1} << 24, uint64_t{1} << 32, (uint64_t{1} << 60) + 1, ~uint64_t{0}});
  });
  table.Add("key_count_huge", [](TestRandom& r, RawGguf* f) {
    f->claimed_num_keys = OneOf(r, {uint64_t{4097}, uint64_t{1} << 24, uint64_t{1} << 32, (uint64_t{1} << 60) + 1, ~uint64_t{0}});
  });
  table.Add("key_count_short", [](TestRandom& r, RawGguf* f) { f->claimed_num_keys = r.Below(f->keys.size()); });
}

void AppendMalformedKeys(std::vector<MalformedClass>* classes) {
  Table table("key", classes);
  table.Add("key_length_beyond_file", [](TestRandom& r, RawGguf* f) {
    const uint64_t length = TooLong(r, *f);
    Pick(r, f->keys).claimed_name_bytes = length;
  });
  table.Add("key_length_wraps", [](TestRandom& r, RawGguf* f) { Pick(r, f->keys).claimed_name_bytes = Wrapping(r); });
  table.Add("key_empty", [](TestRandom& r, RawGguf* f) { Pick(r, f->keys).name.clear(); });
  table.Add("key_too_long", [](TestRandom& r, RawGguf* f) { Pick(r, f->keys).name = std::string(65536 + r.Below(100), 'k'); });
  table.Add("key_control_byte", [](TestRandom& r, RawGguf* f) {
    std::string& name = Pick(r, f->keys).name;
    name[r.Below(name.size())] = static_cast<char>(r.Below(32));
  });
  table.Add("key_duplicate", [](TestRandom& r, RawGguf* f) {
    const std::string name = Pick(r, f->keys).name;
    AddKey(f, r, name, kUint32, RawBytes<uint32_t>(7));
  });
  table.Add("value_type_unknown", [](TestRandom& r, RawGguf* f) {
    Pick(r, f->keys).type_id = OneOf(r, {13u, 14u, 255u, 65536u, 0x80000004u, 0xffffffffu});
  });
  table.Add("string_beyond_file", [](TestRandom& r, RawGguf* f) {
    const uint64_t length = TooLong(r, *f);
    AddKey(f, r, "test.text", kString, RawBytes(length) + "text");
  });
  table.Add("string_length_wraps", [](TestRandom& r, RawGguf* f) {
    AddKey(f, r, "test.text", kString, RawBytes(Wrapping(r)) + "text");
  });
  table.Add("array_type_unknown", [](TestRandom& r, RawGguf* f) {
    AddKey(f, r, "test.list", kArray, ArrayOf(OneOf(r, {13u, 100u, 0xffffffffu}), r.Below(3), "abcdefgh"));
  });
  table.Add("array_beyond_file", [](TestRandom& r, RawGguf* f) {
    const uint64_t count = TooLong(r, *f);
    AddKey(f, r, "test.list", kArray, ArrayOf(OneOf(r, {0u, 1u, 2u, 4u, 6u, 7u, 8u, 10u, 12u}), count, "abcdefgh"));
  });
  table.Add("array_size_wraps", [](TestRandom& r, RawGguf* f) {
    const bool wide = (r.Next() & 1) != 0;  // 2^62 * 4 and 2^61 * 8 are 0 in 64 bits
    const uint64_t count = (uint64_t{1} << (wide ? 61 : 62)) + r.Below(3);
    AddKey(f, r, "test.list", kArray, ArrayOf(wide ? 12 : 6, count, "abcdefghijklmnopqrstuvwx"));
  });
  table.Add("array_nested", [](TestRandom& r, RawGguf* f) {
    std::string value;
    for (uint64_t depth = 1 + r.Below(2000); depth > 0; --depth) value += ArrayOf(kArray, 1, "");
    AddKey(f, r, "test.list", kArray, value + ArrayOf(0, 1, "a"));
  });
  table.Add("array_element_beyond_file", [](TestRandom& r, RawGguf* f) {
    const uint64_t length = (r.Next() & 1) != 0 ? TooLong(r, *f) : Wrapping(r);
    std::string elements;
    const uint64_t good = r.Below(5);
    for (uint64_t i = 0; i < good; ++i) elements += RawString("token");
    AddKey(f, r, "test.list", kArray, ArrayOf(kString, good + 3, elements + RawBytes(length) + "text"));
  });
  table.Add("bool_not_zero_or_one", [](TestRandom& r, RawGguf* f) {
    const auto value = static_cast<char>(2 + r.Below(254));
    if ((r.Next() & 1) != 0) {
      AddKey(f, r, "test.flag", kBool, {value});
    } else {
      AddKey(f, r, "test.flags", kArray, ArrayOf(kBool, 3, std::string("\0\1", 2) + value));
    }
  });
  table.AddBytes("keys_truncated", [](TestRandom& r, const RawGguf& f, std::string* b) { CutTo(b, 24, f.Header().size(), r); });
}

void AppendMalformedTensors(std::vector<MalformedClass>* classes) {
  Table table("tensor", classes);
  table.Add("name_length_beyond_file", [](TestRandom& r, RawGguf* f) {
    const uint64_t length = TooLong(r, *f);
    Pick(r, f->tensors).claimed_name_bytes = length;
  });
  table.Add("name_length_wraps", [](TestRandom& r, RawGguf* f) { Pick(r, f->tensors).claimed_name_bytes = Wrapping(r); });
  table.Add("name_empty", [](TestRandom& r, RawGguf* f) { Pick(r, f->tensors).name.clear(); });
  table.Add("name_too_long", [](TestRandom& r, RawGguf* f) { Pick(r, f->tensors).name = std::string(65536 + r.Below(100), 't'); });
  table.Add("name_control_byte", [](TestRandom& r, RawGguf* f) {
    std::string& name = Pick(r, f->tensors).name;
    name[r.Below(name.size())] = static_cast<char>(r.Below(32));
  });
  table.Add("name_duplicate", [](TestRandom& r, RawGguf* f) {
    const auto [a, b] = PickTwo(r, f);
    b->name = a->name;
  });
  table.Add("dims_count_zero", [](TestRandom& r, RawGguf* f) {
    RawTensor& tensor = Pick(r, f->tensors);
    if ((r.Next() & 1) != 0) tensor.dims.clear();
    tensor.claimed_num_dims = 0;
  });
  table.Add("dims_count_five", [](TestRandom& r, RawGguf* f) { Pick(r, f->tensors).dims.resize(5 + r.Below(4), 1); });
  table.Add("dims_count_huge", [](TestRandom& r, RawGguf* f) {
    Pick(r, f->tensors).claimed_num_dims = OneOf(r, {64u, 65536u, 0x7fffffffu, 0x80000000u, 0xffffffffu});
  });
  table.Add("dim_zero", [](TestRandom& r, RawGguf* f) {
    RawTensor& tensor = Pick(r, f->tensors);
    Pick(r, tensor.dims) = 0;
  });
  table.Add("dim_negative", [](TestRandom& r, RawGguf* f) {
    RawTensor& tensor = Pick(r, f->tensors);
    Pick(r, tensor.dims) = ~uint64_t{0} - 31 - 32 * r.Below(100);
  });
  table.Add("dims_product_overflows", [](TestRandom& r, RawGguf* f) {
    RawTensor& tensor = Pick(r, f->tensors);
    tensor.dims = {uint64_t{1} << (20 + r.Below(20)), uint64_t{1} << 24, uint64_t{1} << 20, 32};
  });
  table.Add("dims_product_wraps_small", [](TestRandom& r, RawGguf* f) {
    // (2^32 + 1) * 2^32 * 2^k leaves only a few bits in 64.
    RawTensor& tensor = Pick(r, f->tensors);
    tensor.dims = {32, (uint64_t{1} << 42) + 1, uint64_t{1} << (18 + r.Below(8))};
  });
  table.Add("size_in_bytes_wraps", [](TestRandom& r, RawGguf* f) {
    RawTensor& tensor = Pick(r, f->tensors);
    tensor.type_id = OneOf(r, {0u, 27u, 28u});
    tensor.dims = {uint64_t{1} << 31, uint64_t{1} << 31};  // 2^62 elements of 4 or 8 bytes
    if ((r.Next() & 1) != 0) tensor.dims = {(uint64_t{1} << 62) + r.Below(8)};
  });
  table.Add("type_unknown", [](TestRandom& r, RawGguf* f) {
    Pick(r, f->tensors).type_id = OneOf(r, {200u, 1000u, 65536u, 0x80000000u, 0xffffffffu});
  });
  table.Add("type_withdrawn", [](TestRandom& r, RawGguf* f) {
    Pick(r, f->tensors).type_id = OneOf(r, {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u});
  });
  table.Add("row_not_whole_blocks", [](TestRandom& r, RawGguf* f) {
    RawTensor& tensor = Pick(r, f->tensors);
    tensor.type_id = OneOf(r, {2u, 3u, 6u, 7u, 8u, 12u, 13u, 14u});
    tensor.dims[0] = 1 + r.Below(31);
  });
  table.Add("offset_misaligned", [](TestRandom& r, RawGguf* f) { Pick(r, f->tensors).offset += 1 + r.Below(31); });
  table.Add("offset_beyond_file", [](TestRandom& r, RawGguf* f) {
    const uint64_t size = (f->data.size() + 31) / 32 * 32;
    Pick(r, f->tensors).offset = OneOf(r, {size, size + 32, uint64_t{1} << 40, uint64_t{1} << 63,
                                           ~uint64_t{31}, ~uint64_t{31} - 32 * r.Below(64)});
  });
  table.AddBytes("infos_truncated", [](TestRandom& r, const RawGguf& f, std::string* b) {
    const uint64_t start = f.Header().size();
    CutTo(b, start, start + f.Infos().size(), r);
  });
}

void AppendMalformedData(std::vector<MalformedClass>* classes) {
  Table table("data", classes);
  table.Add("alignment_wrong_type", [](TestRandom& r, RawGguf* f) {
    switch (r.Below(4)) {
      case 0: AddKey(f, r, "general.alignment", 10, RawBytes<uint64_t>(32)); break;
      case 1: AddKey(f, r, "general.alignment", 6, RawBytes(32.0f)); break;
      case 2: AddKey(f, r, "general.alignment", kString, RawString("32")); break;
      default: AddKey(f, r, "general.alignment", kArray, ArrayOf(kUint32, 1, RawBytes<uint32_t>(32)));
    }
  });
  table.Add("alignment_zero", [](TestRandom& r, RawGguf* f) { SetAlignment(f, r, 0); });
  table.Add("alignment_not_power_of_two", [](TestRandom& r, RawGguf* f) { SetAlignment(f, r, static_cast<uint32_t>(8 * (3 + 2 * r.Below(1000)))); });
  table.Add("alignment_huge", [](TestRandom& r, RawGguf* f) { SetAlignment(f, r, uint32_t{1} << (21 + r.Below(11))); });
  table.Add("alignment_tiny", [](TestRandom& r, RawGguf* f) { SetAlignment(f, r, uint32_t{1} << r.Below(3)); });
  table.AddBytes("data_truncated", [](TestRandom& r, const RawGguf& f, std::string* b) { CutTo(b, f.DataStart() + 1, b->size() - 31, r); });
  table.AddBytes("data_missing", [](TestRandom&, const RawGguf& f, std::string* b) { b->resize(f.DataStart()); });
  table.AddBytes("data_cut_in_padding", [](TestRandom& r, const RawGguf& f, std::string* b) {
    const uint64_t infos_end = f.Header().size() + f.Infos().size();
    CutTo(b, infos_end, std::max(infos_end + 1, f.DataStart()), r);
  });
  table.Add("data_offsets_shifted", [](TestRandom& r, RawGguf* f) {
    const uint64_t shift = 32 * (1 + r.Below(100));
    for (RawTensor& tensor : f->tensors) tensor.offset += shift;
  });
  table.Add("data_at_same_offset", [](TestRandom& r, RawGguf* f) {
    const auto [a, b] = PickTwo(r, f);
    b->offset = a->offset;
  });
  table.Add("data_overlaps_partly", [](TestRandom& r, RawGguf* f) {
    // Any tensor but the first, moved back into its neighbour.
    RawTensor& tensor = f->tensors[1 + r.Below(f->tensors.size() - 1)];
    tensor.offset -= 32;
  });
  table.Add("data_overlaps_all", [](TestRandom& r, RawGguf* f) {
    // One tensor grows over those behind it; the file is long enough for each alone.
    RawTensor& tensor = f->tensors[r.Below(f->tensors.size() / 2)];
    tensor.type_id = 24;  // I8
    tensor.dims = {f->data.size() - tensor.offset};
  });
}

}  // namespace lull
