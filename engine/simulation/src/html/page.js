(function () {
  var stories = JSON.parse(document.getElementById("stories").textContent);
  var who = document.getElementById("who");
  if (!who) return;
  var list = document.getElementById("contacts");
  stories.forEach(function (story) {
    var option = document.createElement("option");
    option.value = story.contact;
    list.appendChild(option);
  });
  function cell(row, text) {
    var cell = document.createElement("td");
    cell.textContent = text;
    row.appendChild(cell);
  }
  function show() {
    var place = document.getElementById("story");
    var story = stories.find(function (story) { return story.contact === who.value; });
    if (!story) return;
    var table = document.createElement("table");
    story.lines.forEach(function (line) {
      var row = document.createElement("tr");
      line.forEach(function (text) { cell(row, text); });
      table.appendChild(row);
    });
    if (story.lines.length === 0) {
      var row = document.createElement("tr");
      cell(row, "Nothing happens.");
      table.appendChild(row);
    }
    place.replaceChildren(table);
  }
  who.addEventListener("input", show);
  who.value = stories[0].contact;
  show();
})();
