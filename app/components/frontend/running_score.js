// Keeps the running score that overlay.js draws, by the key of the player's container.
export default function ({ data }) {
  window.runningScores ??= new Map()
  window.runningScores.set(data.player, data.score)
  window.dispatchEvent(new Event("running-score"))
  return () => window.runningScores.delete(data.player)
}
