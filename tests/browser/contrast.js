// Every visible text whose contrast with what lies behind it is below 4.5, as "ratio: text".
const rgba = (colour) => {
  const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
  return [r, g, b, a];
};
const over = (top, below) => [0, 1, 2].map((i) => top[3] * top[i] + (1 - top[3]) * below[i]);
const behind = (element) => {
  if (!element) return [255, 255, 255];
  const colour = rgba(getComputedStyle(element).backgroundColor);
  return colour[3] === 1 ? colour : over(colour, behind(element.parentElement));
};
const luminance = (colour) => {
  const linear = colour.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const contrast = (element) => {
  const ground = behind(element);
  const text = over(rgba(getComputedStyle(element).color), ground);
  const [low, high] = [luminance(text), luminance(ground)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const speaks = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
return [...document.querySelectorAll("article *")]
  .filter((element) => speaks(element) && element.checkVisibility() && contrast(element) < 4.5)
  .map((element) => `${contrast(element).toFixed(2)}: ${element.className} ${element.textContent.trim().slice(0, 60)}`);
