"use strict";
// Tables sort by a click on a column's head; what a link points into unfolds; everything unfolds for the printer.
document.querySelectorAll("th button").forEach(function (button) {
  button.addEventListener("click", function () {
    var head = button.parentElement, body = head.closest("table").tBodies[0], column = head.cellIndex;
    var sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    var key = function (row) {
      var text = row.cells[column].textContent.trim();
      var number = text.match(/^(?:at least |at most )?([-+]?\d[\d,]*(?:\.\d+)?)/);
      return text === "-" ? [2, 0, ""] : number ? [0, parseFloat(number[1].replace(/,/g, "")), text] : [1, 0, text];
    };
    var rows = Array.prototype.map.call(body.rows, function (row) { return [key(row), row]; });
    rows.sort(function (a, b) {
      var x = a[0], y = b[0];
      if (x[0] === 2 || y[0] === 2) return x[0] - y[0];
      return sign * (x[0] - y[0] || x[1] - y[1] || x[2].localeCompare(y[2]));
    });
    head.parentElement.querySelectorAll("th").forEach(function (other) { other.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    rows.forEach(function (pair) { body.appendChild(pair[1]); });
  });
});
function unfold(id) {
  var place = id && document.getElementById(id);
  for (var each = place; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
  if (place) place.scrollIntoView();
}
window.addEventListener("hashchange", function () { unfold(location.hash.slice(1)); });
unfold(location.hash.slice(1));
window.addEventListener("beforeprint", function () {
  document.querySelectorAll("details").forEach(function (each) { each.open = true; });
});
