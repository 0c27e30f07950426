# Renders lines of JSON ({"template", "data", "as"}) with Ruby's Liquid, one answer a line:
# {"ok":true,"text":...} or {"ok":false,"error":...}. Strict: any error ends the render.
#
# `as` names deliberate differences of ebb (differences.py). Ruby then does in that one point as ebb does, so that it can be
# seen whether this point, and nothing else, is what makes two answers differ.
require "bigdecimal"
require "date"
require "json"
require "time"
require "timeout"
require "liquid"

SECONDS = 3

def as?(name) = $as.include?(name)

# Shopify's Liquid runs with ActiveSupport, which is what gives `blank` its meaning. This is that meaning, and no more of it.
class Object
  def blank? = respond_to?(:empty?) ? empty? : !self
end

class String
  def blank? = match?(/\A[[:space:]]*\z/)
end

class Numeric
  def blank? = false
end

# Ruby's integers have a size: that of the machine's word, in bytes.
class Integer
  def respond_to?(name, *rest) = as?("size of a number") && name.to_s == "size" ? false : super
end

# Numbers with a fraction in the data, and texts of one, are decimals in ebb: exact, and printed without an exponent.
module PlainDecimal
  def to_s(*format)
    return super unless format.empty? && as?("decimals")
    abs < 10**16 ? super("F") : super("F").delete_suffix(".0")
  end

  def inspect = as?("decimals") ? to_s : super
end
BigDecimal.prepend(PlainDecimal)

# Ranges are lists in ebb, of 10,000 items at most, but print as ranges.
class ListedRangeItems < Array
  def initialize(range)
    super(range.to_a)
    @text = range.to_s
  end

  def join(*separator) = separator.empty? && as?("ranges") ? @text : super
  def to_s = as?("ranges") ? @text : super
end

module ListedRange
  def evaluate(context) = listed(super)
end
module ListedLiteral
  def parse(*bounds) = listed(super)
end

def listed(range)
  return range unless (as?("ranges") || as?("ranges as lists")) && range.is_a?(Range)
  raise Liquid::ArgumentError, "too many items" if range.size > 10_000
  ListedRangeItems.new(range)
end
Liquid::RangeLookup.prepend(ListedRange)
Liquid::RangeLookup.singleton_class.prepend(ListedLiteral)

# A `cycle` without a name that has a variable is never the same cycle as another one.
module CycleByText
  def initialize(name, markup, context)
    super
    @name = markup.gsub(/\s*,\s*/, ", ").strip if as?("cycles") && @name == @variables.to_s
  end

  # Of one name, but not of one length.
  def render_to_output_buffer(context, output)
    counts = context.registers[:cycle] ||= {}
    key = context.evaluate(@name)
    counts[key] %= @variables.size if as?("cycles") && counts[key] && @variables.any?
    super
  end
end
Liquid::Cycle.prepend(CycleByText)

# The counters of `increment` and `decrement` hide the data's names.
module OwnCounters
  def render_to_output_buffer(context, output)
    return super unless as?("counters")
    down = is_a?(Liquid::Decrement)
    counters = context.registers[:counters] ||= Hash.new(0)
    counters[@variable] -= 1 if down
    output << counters[@variable].to_s
    counters[@variable] += 1 unless down
    output
  end
end
[Liquid::Increment, Liquid::Decrement].each { |tag| tag.prepend(OwnCounters) }

# Stands for a nil item of a list: it has no property, and is sorted and printed as nil.
NOTHING = Class.new(Hash) do
  def to_s = ""
  def inspect = "nil"
end.new.freeze

DATE_WORDS = /\A(#{(Date::MONTHNAMES + Date::ABBR_MONTHNAMES + Date::DAYNAMES + Date::ABBR_DAYNAMES).compact.join("|")}|sept|t|z|utc|gmt|[ecmp][sd]t|am|pm|st|nd|rd|th)\z/i

# A plus may stand before a decimal, as it may before an integer.
module PlusBeforeDecimal
  def to_number(value) = super(as?("plus signs") && value.is_a?(String) ? value.strip.sub(/\A\+(?=\d+\.\d+\z)/, "") : value)
end
Liquid::Utils.singleton_class.prepend(PlusBeforeDecimal)

module Filters
  # The gem before 5.5 leaves what it decodes as binary, which no other text can be joined to; newer ones make it UTF-8.
  def base64_decode(input) = as?("nil in base64") && input.nil? ? nil : utf8(super)
  def base64_url_safe_decode(input) = as?("nil in base64") && input.nil? ? nil : utf8(super)

  def base64_encode(input) = as?("nil in base64") && input.nil? ? nil : super
  def base64_url_safe_encode(input) = as?("nil in base64") && input.nil? ? nil : super

  # A backslash in a replacement means itself.
  def replace(input, search, replacement = "") = super(input, search, literal(replacement))
  def replace_first(input, search, replacement = "") = super(input, search, literal(replacement))

  def strip(input) = as?("whitespace") ? input.to_s.gsub(/\A[[:space:]]+|[[:space:]]+\z/, "") : super
  def lstrip(input) = as?("whitespace") ? input.to_s.sub(/\A[[:space:]]+/, "") : super
  def rstrip(input) = as?("whitespace") ? input.to_s.sub(/[[:space:]]+\z/, "") : super

  def split(input, pattern)
    return super unless as?("whitespace") && pattern.to_s == " "
    input.to_s.split(/[[:space:]]+/).drop_while(&:empty?)
  end

  def truncatewords(input, words = 15, ending = "...")
    return super unless as?("whitespace") && !input.nil?
    plain = input.to_s.gsub(/(?![ \t\n\v\f\r])[[:space:]]/, " ")
    cut = super(plain, words, ending)
    cut == plain ? input.to_s : cut
  end

  def downcase(input) = sigma(super)
  def capitalize(input) = sigma(super)

  def divided_by(input, operand) = finite(super)
  def modulo(input, operand) = finite(super)

  def strip_html(input) = super(as?("capital tags") ? input.to_s.gsub(/<(\/?)(script|style)/i) { "<#{$1}#{$2.downcase}" } : input)

  def date(input, format)
    return super unless as?("dates") && !format.to_s.empty?
    input = fraction(input) if input.is_a?(Float) || input.is_a?(BigDecimal)
    return input if input.is_a?(Integer) && !(-62_167_219_200..253_402_300_799).cover?(input)
    return input if input.is_a?(String) && !full_date?(input)
    input = input.strip if input.is_a?(String)
    super(input, format.to_s.gsub(/%([\d_^#0:]*)-(?=[-\d_^#0:]*z)/, '%\1'))
  end

  def uniq(input, property = nil) = super(property.nil? ? input : with_properties(input), property)
  def compact(input, property = nil) = super(property.nil? ? input : with_properties(input), property)

  def sort(input, property = nil)
    input = with_properties(input) unless property.nil?
    as?("ties") ? stable(input, property) { |one, other| nil_safe_compare(one, other) } : super(input, property)
  end

  def sort_natural(input, property = nil)
    input = with_properties(input) unless property.nil?
    as?("ties") ? stable(input, property) { |one, other| nil_safe_casecmp(one, other) } : super(input, property)
  end

  def where(input, property, value = nil) = super(with_properties(input), property, value)
  def map(input, property) = super(with_properties(input), property)

  private

  def utf8(text)
    text = text.dup.force_encoding("UTF-8")
    raise Liquid::ArgumentError, "not UTF-8" if as?("decoded text") && !text.valid_encoding?
    text
  end

  def nil_safe_casecmp(one, other)
    as?("all letters") && !one.nil? && !other.nil? ? one.to_s.downcase <=> other.to_s.downcase : super
  end

  def literal(text) = as?("backslashes") ? text.to_s.gsub("\\") { "\\\\" } : text

  def sigma(text) = as?("sigma") ? text.gsub(/(?<=\p{L})σ(?!\p{L})/, "ς") : text

  def finite(number)
    raise Liquid::ZeroDivisionError, "divided by 0" if as?("division by zero") && !number.finite?
    number
  end

  # The gem makes a float of each result.
  def apply_operation(input, operand, operation)
    decimal = [input, operand].any? { |one| one.is_a?(BigDecimal) || one.is_a?(String) && one.match?(/\d\.\d/) }
    return super unless as?("decimals") && decimal
    Liquid::Utils.to_number(input).send(operation, Liquid::Utils.to_number(operand))
  end

  def fraction(seconds) = Time.at(seconds.to_r.round(9)).utc

  # Year, month and day, of which the order is plain, and a day that there is; or a number of seconds up to the year 9999.
  def full_date?(text)
    text = text.strip
    return text.to_i <= 253_402_300_799 if text.match?(/\A\d+\z/)
    return false if text.match?(%r{\A\d{1,3}[/-]\d|\A\d{4}-\d{1,3}\z|\A\d{4}-W|\A\d{4}-\d\d-\d\d[T\s]+(\d+:?)?\z}) || !text.match?(/(?<!\d)\d{4}(?!\d)|\A\d{8}(T|\z)/)
    return false if text.match?(/\d{3,}:|::|[^\p{Alnum}\s:,.\/+-]/) || !text.scan(/[[:alpha:]]+/).all? { |word| DATE_WORDS.match?(word) }
    parts = Date._parse(text)
    %i[year mon mday].all? { |part| parts[part] } && Date.valid_date?(*parts.values_at(:year, :mon, :mday))
  end

  # Sorts; equal items keep their order.
  def stable(input, property)
    items = Liquid::StandardFilters::InputIterator.new(input, context).to_a
    keyed = items.each_with_index.map { |item, at| [property.nil? ? item : item[property], at, item] }
    keyed.sort! do |(one, at), (other, behind)|
      order = one.nil? && other.nil? ? 0 : yield(one, other)
      order.zero? ? at <=> behind : order
    end
    keyed.map(&:last)
  rescue TypeError
    raise_property_error(property)
  end

  # Nothing but an object has properties; nil has none.
  def with_properties(input)
    return input unless as?("properties")
    items = input.is_a?(Array) ? input.flatten : input.is_a?(Hash) ? [input] : Array(input)
    items.map do |item|
      raise Liquid::ArgumentError, "no properties" unless item.is_a?(Hash) || item.nil?
      item.nil? ? NOTHING : item
    end
  end
end
Liquid::Template.register_filter(Filters)

def answer(line)
  $as = []
  request = JSON.parse(line)
  $as = request["as"] || []
  request = JSON.parse(line, decimal_class: BigDecimal) if as?("decimals")
  text = Timeout.timeout(SECONDS) do
    template = Liquid::Template.parse(request["template"], error_mode: :strict)
    # Not as the first environment, which is where `increment` and `decrement` keep their counters.
    context = Liquid::Context.build(static_environments: request["data"], rethrow_errors: true)
    template.render!(context, strict_variables: false, strict_filters: true)
  end
  text = text.dup.force_encoding("UTF-8")
  return { ok: false, error: "not UTF-8" } unless text.valid_encoding?
  { ok: true, text: text }
rescue StandardError, SystemStackError, NoMemoryError => error
  message = "#{error.class}: #{error.message}"[0, 300].force_encoding("UTF-8").scrub("?")
  { ok: false, error: message }
end

if ARGV == ["--version"]
  puts Liquid::VERSION
  exit
end

$as = []
$stdin.set_encoding("UTF-8")
$stdin.each_line do |line|
  puts JSON.generate(answer(line))
  $stdout.flush
end
