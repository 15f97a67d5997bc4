// Sentences over the clip: as a strip, or as a table that can be sorted. A click plays one, from its start to its end.
// Words arrive as data and become text nodes: nothing that a user typed is parsed as HTML.
const views = new WeakMap()

export default function ({ data, parentElement }) {
  let view = views.get(parentElement)
  if (!view) {
    view = data.view === "strip" ? new Strip(parentElement) : new Table(parentElement)
    views.set(parentElement, view)
  }
  view.update(data)
  return () => {
    view.close()
    views.delete(parentElement)
  }
}

// A name with the colour of a speaker before it.
function named(text, colour) {
  const item = document.createElement("span")
  const swatch = document.createElement("i")
  item.className = "named"
  swatch.style.background = colour
  item.append(swatch, text)
  return item
}

class View {
  constructor() {
    this.draw = this.draw.bind(this)
    this.marked = []
    // The player may be mounted or replaced at any time; checking twice a second is enough.
    this.timer = setInterval(this.draw, 500)
  }

  find() {
    const video = document.querySelector(`.st-key-${this.data.player} video`)
    if (video !== this.video) {
      this.video?.removeEventListener("timeupdate", this.draw)
      this.video = video
      video?.addEventListener("timeupdate", this.draw)
    }
    return video
  }

  // Plays a sentence and stops at its end, unless the user went elsewhere meanwhile.
  play({ start, end }) {
    const video = this.find()
    if (!video) return
    const stop = () => {
      if (video.currentTime < start - 0.3 || video.currentTime > end + 1) return done()
      if (video.currentTime < end) return
      video.pause()
      done()
    }
    const done = () => video.removeEventListener("timeupdate", stop)
    views.stop?.()
    views.stop = done
    video.currentTime = start + 0.001
    video.addEventListener("timeupdate", stop)
    video.play().catch(() => {}) // a browser may refuse to play with sound before the first click
  }

  draw() {
    const video = this.find()
    const now = video ? video.currentTime : 0
    this.moved?.(now)
    const current = this.data.sentences.findIndex(({ start, end }) => start <= now && now < end)
    if (current === this.current) return
    this.marked[this.current]?.removeAttribute("aria-current")
    this.current = current
    this.marked[current]?.setAttribute("aria-current", "true")
  }

  close() {
    clearInterval(this.timer)
    this.video?.removeEventListener("timeupdate", this.draw)
  }
}

class Strip extends View {
  constructor(root) {
    super()
    this.root = root.querySelector("#strip")
    this.legend = root.querySelector("#legend")
    this.head = document.createElement("div")
    this.head.className = "head"
    this.chosen = 0
    // One stop of the Tab key for all sentences; arrows go from one to the next.
    this.root.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
      const last = this.marked.length - 1
      const to = { Home: 0, End: last }[event.key] ?? (step ? this.chosen + step : null)
      if (to === null) return
      event.preventDefault()
      this.choose(Math.max(0, Math.min(last, to)))
      this.marked[this.chosen]?.focus()
    }
  }

  choose(index) {
    if (this.marked[this.chosen]) this.marked[this.chosen].tabIndex = -1
    this.chosen = index
    if (this.marked[index]) this.marked[index].tabIndex = 0
  }

  update(data) {
    this.data = data
    const key = JSON.stringify(data)
    if (key !== this.key) {
      this.key = key
      this.root.setAttribute("aria-label", data.label)
      this.head.style.background = data.colour
      const focused = this.root.getRootNode().activeElement
      const had = this.marked.indexOf(focused)
      this.marked = data.sentences.map((one, index) => this.button(one, index))
      this.root.replaceChildren(...this.marked, this.head)
      this.legend.replaceChildren(...data.legend.map(({ text, colour }) => named(text, colour)))
      this.current = undefined
      this.choose(Math.min(this.chosen, Math.max(0, this.marked.length - 1)))
      if (had >= 0) this.marked[Math.min(had, this.marked.length - 1)]?.focus()
    }
    this.draw()
  }

  button(one, index) {
    const button = document.createElement("button")
    button.type = "button"
    button.tabIndex = -1
    button.textContent = one.short
    button.title = one.hint
    button.setAttribute("aria-label", one.hint)
    button.style.left = `${(100 * one.start) / this.data.duration}%`
    button.style.width = `${(100 * Math.max(0, one.end - one.start)) / this.data.duration}%`
    button.style.backgroundColor = one.colour
    if (one.edge) button.style.borderBottom = `5px solid ${one.edge}`
    button.onclick = () => {
      this.choose(index)
      this.play(one)
    }
    return button
  }

  moved(now) {
    this.head.style.left = `calc(${(100 * now) / this.data.duration}% - 1px)`
  }
}

class Table extends View {
  constructor(root) {
    super()
    this.frame = root.querySelector("#frame")
    this.order = { column: 0, down: false }
  }

  update(data) {
    this.data = data
    const key = JSON.stringify(data)
    if (key !== this.key) {
      this.key = key
      if (this.order.column >= data.columns.length) this.order = { column: 0, down: false }
      this.build()
    }
    this.draw()
  }

  build() {
    const { columns, sentences, label } = this.data
    const table = document.createElement("table")
    table.setAttribute("aria-label", label)
    const head = table.createTHead().insertRow()
    columns.forEach((column, index) => {
      const cell = document.createElement("th")
      cell.scope = "col"
      const button = document.createElement("button")
      button.type = "button"
      const here = index === this.order.column
      cell.setAttribute("aria-sort", here ? (this.order.down ? "descending" : "ascending") : "none")
      button.textContent = column + (here ? (this.order.down ? " ▾" : " ▴") : "")
      button.onclick = () => this.sort(index)
      cell.append(button)
      head.append(cell)
    })
    const body = table.createTBody()
    const places = sentences.map((_, index) => index).sort((one, other) => this.compare(one, other))
    this.marked = []
    for (const place of places) {
      const row = body.insertRow()
      this.marked[place] = row
      row.onclick = () => this.play(sentences[place])
      sentences[place].cells.forEach((cell, index) => this.fill(row.insertCell(), cell, index, sentences[place]))
    }
    this.frame.replaceChildren(table)
    this.current = undefined
  }

  fill(place, cell, index, sentence) {
    place.className = cell.kind
    if (index === 0) {
      const button = document.createElement("button")
      button.type = "button"
      button.textContent = cell.text
      button.setAttribute("aria-label", sentence.hint)
      button.onclick = (event) => {
        event.stopPropagation()
        this.play(sentence)
      }
      place.append(button)
      return
    }
    place.append(cell.swatch ? named(cell.text, cell.swatch) : cell.text)
    if (cell.detail) {
      const detail = document.createElement("small")
      detail.textContent = ` ${cell.detail}`
      place.append(detail)
    }
  }

  // Rows without a value stay last in both directions.
  compare(one, other) {
    const { column, down } = this.order
    const [first, second] = [one, other].map((place) => this.data.sentences[place].cells[column].sort)
    if (first === null || second === null) return (first === null) - (second === null) || one - other
    const found = typeof first === "number" ? first - second : first.localeCompare(second)
    return (down ? -found : found) || one - other
  }

  sort(column) {
    this.order = { column, down: column === this.order.column ? !this.order.down : false }
    this.build()
    this.draw()
    this.frame.querySelectorAll("th button")[column].focus()
  }
}
